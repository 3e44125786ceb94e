"""`exporter`, `check-config` and `metrics` on the command line: what they print, and how they end."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from observability import catalogue
from observability.cli import app
from observability.cli import exporter as exporter_commands
from observability.cli import metrics as metrics_command
from observability.probes.postgres.timeline import TIMELINE

MODULES = (exporter_commands, metrics_command)
"""They add their commands to `app` when they are imported."""


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of whoever runs the tests names a target."""
    for name in os.environ:
        if name.startswith(("HA_", "PG", "POSTGRES", "REDIS", "DATABASE_URL", "OTEL_")):
            monkeypatch.delenv(name)


def call(*arguments: str | Path, **env: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(word) for word in arguments], env=env)


def written(path: Path, text: str) -> Path:
    """A configuration file with this text."""
    file = path / "c.yaml"
    file.write_text(text)
    return file


TWO = """
listen: 127.0.0.1:1
cluster: demo
targets:
  - {name: pg-1, url: "postgresql://mon:hunter2@db-1/postgres", zone: a}
  - {name: web, url: "http://u:hunter2@h:8001/healthz"}
"""


class TestCheckConfig:
    """`check-config` reads a configuration and connects to nothing."""

    def test_right(self, tmp_path: Path) -> None:
        """Exit code 0 and the targets that it found, without their passwords."""
        file = written(tmp_path, TWO)
        result = call("check-config", file)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == (
            f"{file}: right. 2 targets (1 http, 1 postgres), served on 127.0.0.1:1.\n"
            "  demo  pg-1  postgres  db-1  zone a\n"
            "  demo  web  http  http://h:8001/healthz\n"
        )

    def test_environment(self) -> None:
        """Without a file the environment is checked."""
        result = call("check-config", HA_TARGETS="redis://:hunter2@r:1/2")
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == (
            "environment: right. 1 targets (1 redis), served on 127.0.0.1:9942.\n  default  r:1  redis  r:1\n"
        )

    def test_mistakes(self, tmp_path: Path) -> None:
        """Exit code 2, every mistake on a line of its own, and how many there are."""
        file = written(tmp_path, "listn: x\ncluster: 5\n")
        result = call("check-config", file)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == (
            f"{file}:1: listn: unknown key: did you mean 'listen'?\n"
            f"{file}:2: cluster: it must be text: put it in quotes\n"
            "2 mistakes in the configuration; nothing was started.\n"
        )

    def test_nothing_to_watch(self, tmp_path: Path) -> None:
        """A configuration without targets is answered with how to give some."""
        result = call("check-config", written(tmp_path, "cluster: demo"))
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("No target is configured. Give some in a file:\n")

    def test_missing_file(self, tmp_path: Path) -> None:
        """A file that is not there is one sentence."""
        result = call("check-config", tmp_path / "nothing.yaml")
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.splitlines()[0] == f"{tmp_path}/nothing.yaml: cannot be read: No such file or directory"


class TestExporter:
    """`exporter` refuses to start with one sentence and an exit code of its own."""

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            pytest.param(["--listen", "there"], 2, "'there' is not an address to listen on", id="no address"),
            pytest.param(["--listen", "127.0.0.1:99999"], 2, "is not an address to listen on", id="no port"),
            pytest.param(["--listen", "192.0.2.1:1"], 3, "Cannot listen on 192.0.2.1:1: ", id="not our address"),
            pytest.param(["--listen", f"{'ü' * 70}:1"], 3, "it is no host name", id="no host name"),
            pytest.param(["--log-level", "loud"], 2, "'loud' is not one of", id="unknown level"),
            pytest.param(["--unknown"], 2, "No such option", id="unknown option"),
        ],
    )
    def test_wrong_arguments(self, arguments: list[str], code: int, message: str) -> None:
        """2 for what was asked for wrongly, 3 for an address that cannot be had; no traceback."""
        result = call("exporter", *arguments, HA_TARGETS="redis://127.0.0.1:1", TERM="dumb", NO_COLOR="1")
        assert (result.exit_code, result.stdout) == (code, "")
        assert message in result.stderr
        assert isinstance(result.exception, SystemExit)

    def test_nothing_to_watch(self) -> None:
        """Without any target it does not start."""
        result = call("exporter")
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("No target is configured.")

    def test_mistakes(self) -> None:
        """A wrong configuration is reported as by check-config."""
        result = call("exporter", HA_TARGETS="ftp://x")
        assert result.exit_code == 2
        assert result.stderr.endswith("1 mistake in the configuration; nothing was started.\n")

    def test_port_taken(self) -> None:
        """A whole process, started on a port that is taken, says so and ends with 3."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            ended = subprocess.run(
                [sys.executable, "-m", "observability", "exporter", "--listen", address],
                env={"PATH": os.environ["PATH"], "HA_TARGETS": "redis://127.0.0.1:1"},
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
        expected = (
            f"Cannot listen on {address}: Address already in use. Choose another address with `listen` or HA_LISTEN.\n"
        )
        assert (ended.returncode, ended.stdout, ended.stderr) == (3, "", expected)


class TestMetrics:
    """`metrics` prints the catalogue."""

    def test_json(self) -> None:
        """Every declared metric as an object, for programs."""
        result = call("metrics", "--format", "json")
        names = [row["name"] for row in json.loads(result.stdout)]
        assert (result.exit_code, names) == (0, [metric.name for metric in catalogue.metrics()])

    def test_markdown(self) -> None:
        """The table of the reference, one row for each metric."""
        result = call("metrics", "--format", "markdown", "--search", "ha_postgres_timeline")
        assert (result.exit_code, result.stdout) == (0, catalogue.as_markdown([TIMELINE]))

    def test_table(self) -> None:
        """Something for people."""
        result = call("metrics", "--search", "ha_target_up", COLUMNS="200")
        assert (result.exit_code, "ha_target_up" in result.stdout) == (0, True)

    def test_search_without_a_match(self) -> None:
        """A search that finds nothing says so and ends with 1."""
        result = call("metrics", "--search", "no such thing")
        assert (result.exit_code, result.stderr) == (1, "No metric holds 'no such thing'.\n")


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["exporter"],
        ["check-config"],
        ["metrics"],
        ["alerts"],
        ["alerts", "render"],
        ["dashboards"],
        ["dashboards", "export"],
        ["failover"],
        ["failover", "serve"],
        ["lab"],
        ["lab", "up"],
        ["lab", "status"],
        ["lab", "down"],
        ["lab", "fault"],
    ],
    ids=" ".join,
)
def test_help(command: list[str]) -> None:
    """Every command explains itself, with its line of the overview."""
    result = call(*command, "--help", TERM="dumb", NO_COLOR="1", COLUMNS="200")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "Usage: " in result.stdout
