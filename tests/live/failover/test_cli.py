"""The commands of `failover`, as an operator types them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from typer.testing import CliRunner, Result

from observability.cli.failover import app
from observability.lab.pairs import PostgresPair
from observability.lab.ports import free_port
from tests.unit.failover.test_webhook import alert, webhook

TOKEN = "correct-horse-battery-staple"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


def failover(*arguments: str | Path) -> Result:
    """What `ha-observability failover …` says."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def write(folder: Path, targets: list[dict[str, Any]], **changes: Any) -> Path:
    """A configuration file."""
    (folder / "token").write_text(f"{TOKEN}\n")
    failover_settings = {
        "listen": f"127.0.0.1:{free_port()}",
        "state_url": f"sqlite+aiosqlite:///{folder}/journal.db",
        "token_file": "token",
        **changes,
    }
    path = folder / "config.yml"
    settings = {"cluster": "demo", "targets": targets, "failover": failover_settings}
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture
def config(postgres: PostgresPair, tmp_path: Path) -> Path:
    """A configuration that names the pair."""
    servers = (postgres.primary, postgres.standby)
    return write(
        tmp_path,
        [
            {"name": server.name, "url": server.url(), "password_file": str(server.password_file())}
            for server in servers
        ],
    )


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """A configuration that names a server that is not there."""
    return write(tmp_path, [{"name": "pg-1", "url": "postgresql://u@127.0.0.1:1/d"}])


class Serving:
    """`failover serve` as a process."""

    def __init__(self, config: Path) -> None:
        self.url = f"http://{yaml.safe_load(config.read_text())['failover']['listen']}"
        self.log = config.with_name("serve.log")
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "observability", "failover", "serve", "--config", str(config)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def get(self, path: str) -> httpx.Response:
        """Ask until there is an answer."""
        deadline = time.monotonic() + 20
        while True:
            try:
                return httpx.get(f"{self.url}{path}", headers=HEADERS)
            except httpx.TransportError:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.05)

    def await_incident(self, **wanted: Any) -> dict[str, Any]:
        """The first incident, once it is as wanted."""
        deadline = time.monotonic() + 20
        while True:
            incidents = self.get("/api/incidents").json()["incidents"]
            if incidents and {key: incidents[-1][key] for key in wanted} == wanted:
                found: dict[str, Any] = incidents[-1]
                return found
            assert time.monotonic() < deadline, (incidents, self.log.read_text())
            time.sleep(0.05)

    def end(self, sign: signal.Signals = signal.SIGTERM) -> None:
        """End the process and wait for it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, sign)
        self.process.wait(timeout=20)


@contextlib.contextmanager
def serve(config: Path) -> Iterator[Serving]:
    """`failover serve`, ended at the end."""
    serving = Serving(config)
    try:
        serving.get("/-/ready")
        yield serving
    finally:
        serving.end()


def test_from_webhook_to_explanation(config: Path) -> None:
    """An alert becomes an incident with a decision that history lists and explain shows with its inputs."""
    with serve(config) as controller:
        body = webhook(alert(startsAt=datetime.now(UTC).isoformat()))
        answer = httpx.post(f"{controller.url}/webhook/alertmanager", content=body, headers=HEADERS)
        assert answer.json() == {"opened": [1], "resolved": [], "repeated": 0}
        controller.await_incident(summary="hold (primary_seen): pg-1 answers as primary")
        commandline = Path(f"/proc/{controller.process.pid}/cmdline").read_bytes()
    history = failover("history", "--config", config)
    assert (history.exit_code, history.output.split("  ")[3:]) == (
        0,
        ["demo", "PostgresNoPrimary", "open", "hold (primary_seen): pg-1 answers as primary\n"],
    )
    explained = failover("explain", "1", "--config", config)
    assert explained.exit_code == 0
    for line in (
        "incident 1: PostgresNoPrimary, cluster demo, open",
        "  team='$(reboot)'",
        "    pg-1: primary after ",
        "    pg-2: standby after ",
        "  hold (primary_seen): pg-1 answers as primary",
    ):
        assert line in explained.output
    (told,) = json.loads(failover("history", "--json", "--config", config).output)
    assert (told["id"], told["decision"]["reason"]) == (1, "primary_seen")
    entries = json.loads(failover("explain", "1", "--json", "--config", config).output)["entries"]
    assert [entry["kind"] for entry in entries] == ["opened", "observation", "decision"]
    said = controller.log.read_text() + history.output + explained.output + commandline.decode()
    assert TOKEN not in said


def test_killed_controller_goes_on_where_it_was(nowhere: Path) -> None:
    """Killed at once after the acknowledgement, the next run decides what the first one only wrote down."""
    url = yaml.safe_load(nowhere.read_text())["failover"]["listen"]
    with serve(nowhere) as first:
        body = webhook(alert(startsAt=datetime.now(UTC).isoformat()))
        answer = httpx.post(f"http://{url}/webhook/alertmanager", content=body, headers=HEADERS)
        first.end(signal.SIGKILL)
        assert answer.status_code == 200
    with serve(nowhere) as second:
        incident = second.await_incident(state="open", alert="PostgresNoPrimary")
        assert second.await_incident(id=incident["id"])["id"] == 1
        decided = second.await_incident(
            summary="hold (isolated): only 0 of 1 servers answer: this controller may be the one that is cut off"
        )
        assert decided["id"] == 1
        body = webhook(alert(startsAt=datetime.now(UTC).isoformat(), fingerprint="b2"))
        assert httpx.post(f"http://{url}/webhook/alertmanager", content=body, headers=HEADERS).json()["opened"] == [2]


def test_plan_of_a_healthy_cluster(config: Path) -> None:
    """With the primary there, plan says so, shows what it saw, and its exit code is 0."""
    result = failover("plan", "--config", config)
    assert result.exit_code == 0
    assert "  pg-1: primary after " in result.output
    assert result.output.endswith("hold (primary_seen): pg-1 answers as primary\n")


def test_plan_after_a_loss_without_a_memory(postgres: PostgresPair, config: Path) -> None:
    """Where no controller watched, plan says that nobody knows what a standby lacks, and exits with 11."""
    postgres.primary.process.kill()
    result = failover("plan", "--config", config)
    assert result.exit_code == 11
    assert "Without the memory of a controller: there is no journal at" in result.output
    assert "hold (primary_unknown)" in result.output


def test_plan_after_a_loss_with_a_controllers_memory(postgres: PostgresPair, config: Path) -> None:
    """Beside a running controller, plan names the standby and the steps, and exits with 10."""
    with serve(config) as controller:
        deadline = time.monotonic() + 20
        while "ha_failover_primary_timestamp_seconds" not in controller.get("/metrics").text:
            assert time.monotonic() < deadline
        postgres.primary.process.kill()
        while (result := failover("plan", "--config", config)).exit_code != 10:
            assert time.monotonic() < deadline, result.output
    assert "would promote pg-2 in place of pg-1" in result.output
    assert result.output.endswith(
        "  1. fence pg-1 and verify that it takes no writes\n  2. promote pg-2\n  3. verify that pg-2 takes writes\n"
    )


def test_history_before_any_alert(nowhere: Path) -> None:
    """An empty journal is said to be empty; one that does not exist is an error in words."""
    missing = failover("history", "--config", nowhere)
    assert (missing.exit_code, "has the controller run with this state_url?" in missing.output) == (1, True)
    with serve(nowhere):
        pass
    empty = failover("history", "--config", nowhere)
    assert (empty.exit_code, empty.output) == (0, "No alert has asked for anything yet.\n")
    unknown = failover("explain", "7", "--config", nowhere)
    assert (unknown.exit_code, unknown.output) == (
        1,
        "There is no incident 7; `ha-observability failover history` lists them.\n",
    )


def test_mistakes_are_told_in_words(tmp_path: Path) -> None:
    """Whatever is wrong with the configuration is one sentence, with its own exit code, and no traceback."""
    server = [{"name": "pg-1", "url": "postgresql://u:hidden@127.0.0.1:1/d"}]
    taken = socket.create_server(("127.0.0.1", 0))
    without_token = failover("serve", "--config", write(tmp_path, server, token_file=None))
    assert (without_token.exit_code, without_token.output.splitlines()[0]) == (
        2,
        "The controller takes webhooks only with a token, and none is configured. Make one:",
    )
    other = failover("serve", "--config", write(tmp_path, [{"name": "r", "url": "redis://127.0.0.1:1/0"}]))
    assert (other.exit_code, other.output) == (
        2,
        "No PostgreSQL target is configured, so there is nothing to fail over.\n",
    )
    busy = failover("serve", "--config", write(tmp_path, server, listen=f"127.0.0.1:{taken.getsockname()[1]}"))
    assert (busy.exit_code, busy.output.startswith("Cannot listen on")) == (3, True)
    taken.close()
    broken = failover("serve", "--config", write(tmp_path, server, state_url="sqlite+aiosqlite:////no/where.db"))
    assert (broken.exit_code, "unable to open database file" in broken.output) == (1, True)
    unknown = failover("plan", "--cluster", "x", "--config", write(tmp_path, server))
    assert (unknown.exit_code, unknown.output) == (2, "No cluster is called 'x'. Configured: demo.\n")
    several = write(tmp_path, [*server, {"name": "pg-9", "url": "postgresql://h/d", "cluster": "other"}])
    choose = failover("plan", "--config", several)
    assert (choose.exit_code, choose.output) == (
        2,
        "Several clusters are configured: choose one with --cluster (demo, other).\n",
    )
    unset = failover("serve", "--config", write(tmp_path, server, rules={"max_lag": 1}))
    assert (unset.exit_code, "failover.rules.max_lag: unknown key: did you mean 'max_lag_bytes'?" in unset.output) == (
        2,
        True,
    )
