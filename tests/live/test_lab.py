"""The lab from the outside: the commands that a person types, on real servers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from typer.testing import CliRunner, Result

from observability.cli.lab import app
from observability.errors import LabError
from observability.instrumentation.pool.metrics import COUNT
from observability.lab.directory import StateDirectory, temporary_directory
from observability.lab.faults import FAULTS
from observability.lab.figures import prometheus_of
from observability.lab.lab import Lab, is_port_taken
from observability.lab.ports import HOST, free_ports
from observability.lab.ready import await_true
from observability.lab.registry import Registry, marked
from observability.lab.server_config import MAX_OVERFLOW, POOL_SIZE
from observability.lab.site import Site
from observability.lab.stack import PORTS, Stack
from observability.probes.cluster import PRIMARIES
from observability.probes.postgres import replication
from observability.scrape import STATE, UP

NEEDY = ("haproxy-metrics", "pg-2")
"""A port that has no piece of its own, and a piece that copies another before it listens."""

STRANGER = """
import http.server

class Fine(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass

server = http.server.HTTPServer(("127.0.0.1", 0), Fine)
print(server.server_port, flush=True)
server.serve_forever()
"""

TARGET_UP, TARGET_STATE = UP.prometheus_name, STATE.prometheus_name
SEEN = {
    "kill-primary": f"{PRIMARIES.prometheus_name} == 0",
    "freeze-primary": f'{TARGET_STATE}{{server="pg-1",state="hung"}} == 1',
    "stop-standby": f'{TARGET_STATE}{{server="pg-2",state="refused"}} == 1',
    "promote-standby": f"{PRIMARIES.prometheus_name} == 2",
    "pause-replay": f'{replication.REPLAY_PAUSED.prometheus_name}{{server="pg-2"}} == 1',
    "cut-replication": f'{replication.RECEIVER_STREAMING.prometheus_name}{{server="pg-2"}} == 0',
    "stall-replication": f'{replication.RECEIVER_MESSAGE_AGE.prometheus_name}{{server="pg-2"}} > 2',
    "kill-redis": f'{TARGET_STATE}{{server="redis-1",state="refused"}} == 1',
    "freeze-redis": f'{TARGET_STATE}{{server="redis-1",state="hung"}} == 1',
    "exhaust-pool": f"count({COUNT.prometheus_name} == {POOL_SIZE + MAX_OVERFLOW}) == 2",
    "kill-server": 'up{job="ha-server",server="server-1"} == 0',
    "kill-exporter": 'up{job="ha-exporter"} == 0',
}
"""What Prometheus shows of each fault."""

HEALTHY = (f"sum({TARGET_UP}) == 6", f"{PRIMARIES.prometheus_name} == 1", 'sum(up{job=~"ha-.*"}) == 4')
"""What it shows while all is well."""

SHARED_MEMORY = Path("/proc/sysvipc/shm")


def command(*arguments: str | Path) -> list[str]:
    """The words of a command of the lab."""
    return [sys.executable, "-m", "observability", "lab", *map(str, arguments)]


def lab(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the lab to its end, in a process of its own."""
    wide = {**os.environ, "COLUMNS": "250"}
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=180, env=wide, check=False)


def ask(*arguments: str | Path) -> Result:
    """Run a command that starts nothing, here: that is quicker."""
    return CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "250"})


def traces(directory: Path) -> tuple[bool, list[Any]]:
    """What a lab has left behind: its directory, its processes."""
    return directory.exists(), list(marked(directory))


def segments(creators: set[int]) -> list[str]:
    """The System V shared memory that these processes have made and that is still there."""
    rows = SHARED_MEMORY.read_text().splitlines()[1:] if SHARED_MEMORY.exists() else []
    return [row for row in rows if int(row.split()[4]) in creators]


@pytest.fixture
def directory() -> Iterator[Path]:
    """A place for a lab, taken down whatever the test did."""
    parent = temporary_directory()
    parent.chmod(0o711)
    yield parent / "lab"
    Lab(parent / "lab").down()
    parent.rmdir()


@pytest.fixture(scope="module")
def running() -> Iterator[Lab]:
    """A lab that runs on its own, as `up --detach` leaves it."""
    parent = temporary_directory()
    parent.chmod(0o711)
    up = lab("up", "--detach", "--state-dir", parent / "lab")
    assert up.returncode == 0, up.stdout + up.stderr
    running = Lab(parent / "lab")
    yield running
    registry = running.stack.site.registry
    first, second = (ask("down", "--state-dir", running.directory) for _ in range(2))
    assert (first.exit_code, "is gone" in first.stdout) == (0, True)
    assert (second.exit_code, "There is no lab" in second.stdout) == (0, True)
    assert traces(running.directory) == (False, [])
    registry.reap()
    parent.rmdir()


@pytest.fixture
def healed(running: Lab) -> Iterator[Lab]:
    """The running lab, healed after the test."""
    yield running
    running.stack.heal()
    with prometheus_of(running.stack) as prometheus:
        assert await_true(lambda: all(prometheus.query(each) for each in HEALTHY), timeout_seconds=30)


def test_once_proves_everything_and_leaves_nothing() -> None:
    """`up --once` sees every piece in Prometheus, the drill's whole chain follows, and no trace is left."""
    once = lab("up", "--once")
    assert once.returncode == 0, once.stdout + once.stderr
    seen = re.findall(r"│ (ok|no) │ (\S+)", once.stdout)
    stores = ("pg-1", "pg-2", "redis-1", "redis-2", "server-1", "server-2")
    others = ("haproxy", "exporter", "controller", "prometheus", "alertmanager")
    drill = ("prometheus", "load", "prometheus", "controller", "journal")
    assert seen == [("ok", name) for name in (*stores, *others, *drill)]
    assert "would promote pg-2 in place of pg-1" in re.sub(r"\s*│\n│\s*│\s*│\s*│\s*", " ", once.stdout)
    directory = re.search(r"Starting the lab in (\S+)", once.stdout)
    assert directory
    assert traces(Path(directory[1])) == (False, [])


def test_status_shows_what_runs(running: Lab) -> None:
    """Every server is there with its role, every process runs."""
    assert await_true(
        lambda: ask("status", "--state-dir", running.directory).stdout.count(" ok ") == 6, timeout_seconds=30
    )
    status = ask("status", "--state-dir", running.directory)
    assert status.exit_code == 0
    assert re.findall(r"(\S+-\d) +\w+ +ok +(\S+)", status.stdout) == [
        ("pg-1", "primary"), ("pg-2", "standby"), ("redis-1", "master"), ("redis-2", "replica"),
        ("server-1", "-"), ("server-2", "-"),
    ]  # fmt: skip
    assert all(url in status.stdout for url in running.stack.urls.values())


def test_a_second_up_is_refused(running: Lab) -> None:
    """A lab that runs is not disturbed by another in the same directory."""
    pids = {process.pid for process in running.processes}
    second = ask("up", "--state-dir", running.directory)
    assert (second.exit_code, "a lab runs in" in second.stdout) == (1, True)
    assert {process.pid for process in running.processes if process.alive} == pids


def test_no_secret_is_seen(running: Lab) -> None:
    """No password is in a command line, an environment, a log or an answer of the exporter."""
    passwords = {
        line.split(":")[-1]
        for file in (running.directory / "secrets").iterdir()
        for line in file.read_text().splitlines()
    }
    places = "\n".join(
        [*_command_lines(), *_environments(running.directory), *_logs(running.directory), *_answers(running)]
    )
    assert len(passwords) == 6
    assert [password for password in passwords if password in places] == []


def test_a_killed_piece_is_shown_and_healed(healed: Lab) -> None:
    """Status says what has ended and fails; heal starts it again."""
    broken = ask("fault", "kill-server", "--state-dir", healed.directory)
    status = ask("status", "--state-dir", healed.directory)
    assert (broken.exit_code, status.exit_code) == (0, 1)
    assert re.search(r"server-1 +\d+ +ended", status.stdout)
    assert lab("heal", "--state-dir", healed.directory).returncode == 0
    assert ask("status", "--state-dir", healed.directory).exit_code == 0


def test_a_frozen_primary_costs_only_itself(healed: Lab) -> None:
    """With the primary stopped the exporter still answers within Prometheus' deadline, about all others."""
    ask("fault", "freeze-primary", "--state-dir", healed.directory)
    port = healed.stack.site.ports["exporter"]
    with httpx.Client(trust_env=False, timeout=1) as client:
        text = client.get(f"http://{HOST}:{port}/metrics", headers={"X-Prometheus-Scrape-Timeout-Seconds": "1"}).text
    up = dict(re.findall(r'ha_target_up\{.*?server="(\S+?)".*?\} (\d)', text))
    assert up == {"pg-1": "0", "pg-2": "1", "redis-1": "1", "redis-2": "1", "server-1": "0", "server-2": "0"}


@pytest.mark.parametrize("fault", SEEN)
def test_a_fault_is_seen_and_healed(healed: Lab, fault: str) -> None:
    """Prometheus shows what the fault stands for, and nothing of it after the lab has been healed."""
    assert ask("fault", fault, "--state-dir", healed.directory).exit_code == 0
    with prometheus_of(healed.stack) as prometheus:
        assert await_true(lambda: bool(prometheus.query(SEEN[fault])), timeout_seconds=30)


def test_every_fault_is_tried() -> None:
    """No fault of the table is left out above."""
    assert {fault.name for fault in FAULTS} == {*SEEN, "thaw"}


def test_thaw_undoes_a_freeze(healed: Lab) -> None:
    """What was frozen goes on as if nothing had been."""
    ask("fault", "freeze-redis", "--state-dir", healed.directory)
    assert not healed.stack.redis.primary.answers()
    ask("fault", "thaw", "--state-dir", healed.directory)
    assert healed.stack.redis.primary.answers()


def test_unknown_fault_is_refused(running: Lab) -> None:
    """A typing mistake changes nothing and lists what there is."""
    answer = ask("fault", "kill-primry", "--state-dir", running.directory)
    assert (answer.exit_code, "kill-primary" in answer.stdout) == (1, True)


def test_dirty_end_is_recovered_from(directory: Path) -> None:
    """A lab that was killed, with a frozen server in it, is cleared away by the next `up`, and that one leaves nothing."""
    with subprocess.Popen(command("up", "--state-dir", directory), stdout=subprocess.DEVNULL) as foreground:
        assert await_true(lambda: _phase(directory) == "up", timeout_seconds=60)
        Lab(directory).stack.postgres.primary.process.freeze()
        foreground.kill()
    postmasters = {process.pid for process in Lab(directory).processes}
    left = {process.pid for process in marked(directory)}
    again = lab("up", "--detach", "--state-dir", directory)
    assert again.returncode == 0, again.stdout + again.stderr
    assert (len(left) > 10, left & {process.pid for process in marked(directory)}) == (True, set())
    second = Lab(directory)
    postmasters |= {process.pid for process in second.processes}
    second.stack.postgres.primary.process.kill()
    assert second.down()
    assert (traces(directory), segments(postmasters)) == ((False, []), [])


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda _, foreground: foreground.terminate(), id="SIGTERM"),
        pytest.param(lambda _, foreground: foreground.send_signal(signal.SIGINT), id="ctrl-c"),
        pytest.param(lambda directory, _: lab("down", "--state-dir", directory), id="down"),
    ],
)
def test_foreground_lab_takes_everything_down(
    directory: Path, end: Callable[[Path, subprocess.Popen[bytes]], object]
) -> None:
    """Whichever way a lab in the foreground is ended while it starts, nothing is left."""
    with subprocess.Popen(command("up", "--state-dir", directory), stdout=subprocess.DEVNULL) as foreground:
        assert await_true(lambda: len(list(marked(directory))) > 5, timeout_seconds=60)
        end(directory, foreground)
        foreground.wait(60)
    assert traces(directory) == (False, [])


@pytest.mark.parametrize("name", [name for name in PORTS if name not in NEEDY])
def test_a_stranger_on_the_port_is_recognised(name: str, stranger: int) -> None:
    """A piece whose port somebody else has fails for that reason, even if that one answers as the piece would."""
    state = StateDirectory(temporary_directory())
    state.claim()
    registry = Registry(state.path)
    site = Site(state=state, registry=registry, ports={**free_ports(PORTS), name: stranger})
    pieces = {piece.name: piece for piece in Stack(site, postgres="16").pieces()}
    try:
        with pytest.raises(LabError) as refused:
            pieces[name].start()
        assert is_port_taken(refused.value), str(refused.value)
    finally:
        registry.stop_all()
        state.remove()
        state.release()


def test_a_taken_port_costs_another_choice(directory: Path, stranger: int) -> None:
    """A port that somebody takes between our choice and the start does not cost the lab."""
    chosen: list[dict[str, int]] = []

    def choose(names: Iterable[str]) -> dict[str, int]:
        chosen.append(free_ports(names))
        return chosen[-1] if len(chosen) > 1 else {**chosen[-1], "redis-1": stranger}

    second = Lab(directory, choose_ports=choose)
    second.up()
    assert second.stack.site.ports == chosen[1]
    second.down()


@pytest.fixture
def stranger() -> Iterator[int]:
    """The port of a program that answers 200 on whatever it is asked, as another lab's Prometheus would."""
    with subprocess.Popen([sys.executable, "-c", STRANGER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield int(process.stdout.readline())
        assert process.poll() is None, "the lab has harmed a stranger"
        process.kill()


def _phase(directory: Path) -> str | None:
    state = Lab(directory).state
    return state.phase if state else None


def _command_lines() -> Iterator[str]:
    for process in psutil.process_iter(["cmdline"]):
        yield " ".join(process.info["cmdline"] or ())


def _environments(directory: Path) -> Iterator[str]:
    for process in marked(directory):
        yield from process.environ().values()


def _logs(directory: Path) -> Iterator[str]:
    for log in (directory / "logs").iterdir():
        yield log.read_text()


def _answers(running: Lab) -> Iterator[str]:
    port = running.stack.site.ports["exporter"]
    with httpx.Client(base_url=f"http://{HOST}:{port}", trust_env=False, timeout=5) as client:
        for path in ("/metrics", "/probe?target=pg-1&debug=1", "/probe?target=redis-1&debug=1", "/"):
            yield client.get(path).text
