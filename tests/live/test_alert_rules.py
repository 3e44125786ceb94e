"""The committed rules, their tests and the routes, judged by Prometheus' and Alertmanager's own tools."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ALERTS = Path(__file__).parents[2] / "alerts"
RULES = sorted((ALERTS / "rules").glob("*.yml"))
TESTS = sorted((ALERTS / "tests").glob("*.yml"))

PACKAGES = {"promtool": "prometheus", "amtool": "prometheus-alertmanager"}


def run(program: str, *arguments: str | Path) -> str:
    """What the program says; its failure, or its absence, fails the test."""
    path = shutil.which(program)
    if path is None:
        pytest.fail(f"{program} is missing. Run: apt-get install -y --no-install-recommends {PACKAGES[program]}")
    done = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_there_is_something_to_check() -> None:
    """An empty directory must not pass for a correct one."""
    assert [path.name for path in RULES] == [path.name for path in TESTS] != []


def test_rules_are_valid() -> None:
    """Prometheus accepts every rule file, and finds nothing to complain about."""
    run("promtool", "check", "rules", "--lint=all", "--lint-fatal", *RULES)


@pytest.mark.parametrize("file", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_and_keep_silent(file: Path) -> None:
    """Each alert fires with its labels and texts, not before its time, and for nobody else's fault."""
    run("promtool", "test", "rules", file)


def test_alertmanager_accepts_its_configuration() -> None:
    """Routes, inhibitions and receivers are valid."""
    run("amtool", "check-config", ALERTS / "alertmanager.yml")


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        pytest.param(("severity=page", "ha_action=failover"), "controller,humans", id="an action, and people"),
        pytest.param(("severity=page",), "humans", id="a page"),
        pytest.param(("severity=ticket",), "humans", id="a ticket"),
        pytest.param(("severity=none", "ha_action=watchdog"), "controller", id="the watchdog"),
        pytest.param(("severity=none",), "nobody", id="for machines"),
        pytest.param(("alertname=SomebodyElses",), "humans", id="an alert that is not ours"),
    ],
)
def test_alerts_reach_whom_they_are_for(labels: tuple[str, ...], receivers: str) -> None:
    """People hear of everything that is for people, the controller of nothing but what asks for it."""
    said = run("amtool", "config", "routes", "test", f"--config.file={ALERTS / 'alertmanager.yml'}", *labels)
    assert said.strip() == receivers
