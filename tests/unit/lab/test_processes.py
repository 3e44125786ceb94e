"""Only what the lab started is signalled, and all of it is found again."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from observability.errors import LabError
from observability.lab.command import environment, run
from observability.lab.process import Process, stop
from observability.lab.ready import await_ready, await_true
from observability.lab.registry import MARK, Registry, marked

SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")
STUBBORN = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)",
)
PARENT = (
    sys.executable,
    "-c",
    "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); time.sleep(60)",
)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """A registry whose processes end with the test."""
    registry = Registry(tmp_path)
    yield registry
    registry.stop_all()


def test_a_process_is_found_again(registry: Registry) -> None:
    """Another command of the lab, which reads the directory, finds the same process."""
    process = registry.start("sleeper", SLEEP)
    assert (Registry(registry.directory).get("sleeper"), process.alive) == (process, True)


def test_a_reused_pid_is_nobody_of_ours(registry: Registry) -> None:
    """A process with our pid but another start time is not touched."""
    process = registry.start("sleeper", SLEEP)
    foreign = replace(process, started=process.started - 3600)
    foreign.kill()
    foreign.freeze()
    assert (foreign.alive, foreign.family(), process.alive, process.frozen) == (False, [], True, False)


def test_what_ended_is_named(registry: Registry) -> None:
    """Asking for a process that does not run says so."""
    registry.start("short", (sys.executable, "-c", ""))
    assert await_true(lambda: not _alive(registry, "short"), timeout_seconds=10)
    with pytest.raises(LabError, match="short does not run"):
        registry.get("short")


def test_freeze_and_thaw_reach_the_children(registry: Registry) -> None:
    """A frozen process is frozen with its descendants, and goes on with them."""
    process = registry.start("parent", PARENT)
    assert await_true(lambda: len(process.family()) == 2, timeout_seconds=10)
    process.freeze()
    assert await_true(lambda: _states(process) == {psutil.STATUS_STOPPED}, timeout_seconds=10)
    assert process.frozen
    process.thaw()
    assert await_true(lambda: psutil.STATUS_STOPPED not in _states(process), timeout_seconds=10)


def test_kill_reaches_the_children(registry: Registry) -> None:
    """Nothing of a killed process lives on."""
    process = registry.start("parent", PARENT)
    assert await_true(lambda: len(process.family()) == 2, timeout_seconds=10)
    child = process.family()[1]
    process.kill()
    assert (process.alive, child.is_running() and child.status() != psutil.STATUS_ZOMBIE) == (False, False)


def test_a_deaf_process_is_killed(registry: Registry) -> None:
    """What ignores the polite signal is ended with the other one."""
    process = registry.start("deaf", STUBBORN)
    assert await_true(lambda: "deaf" in process.log_tail(), timeout_seconds=10)
    stop([process], signal.SIGTERM, timeout_seconds=0.1)
    assert not process.alive


def test_a_frozen_process_can_be_stopped(registry: Registry) -> None:
    """The polite signal reaches a frozen process too."""
    process = registry.start("sleeper", SLEEP)
    process.freeze()
    stop([process], timeout_seconds=10)
    assert not process.alive


def test_what_was_not_written_down_is_found_by_its_mark(registry: Registry) -> None:
    """A process of a lab that was killed before it could write it down is ended all the same; others are not."""
    marks = environment({MARK: str(registry.directory)})
    other = environment({MARK: f"{registry.directory}-other"})
    with subprocess.Popen(SLEEP, env=marks) as lost, subprocess.Popen(SLEEP, env=other) as stranger:
        assert await_true(lambda: [each.pid for each in marked(registry.directory)] == [lost.pid], timeout_seconds=10)
        registry.stop_all()
        assert (lost.wait(10), stranger.poll()) == (-signal.SIGKILL, None)
        stranger.kill()


def test_nothing_starts_while_the_lab_goes_down(registry: Registry) -> None:
    """A piece that was still being prepared cannot slip out."""
    registry.stop_all()
    with pytest.raises(LabError, match="going down"):
        registry.start("late", SLEEP)


def test_a_piece_that_ends_shows_its_log(registry: Registry) -> None:
    """The error of a piece that does not start has the end of its log in it."""
    process = registry.start("broken", (sys.executable, "-c", "raise SystemExit('the port is taken')"))
    with pytest.raises(LabError, match=r"broken ended while it was starting(.|\n)*the port is taken"):
        await_ready(process, lambda: False, timeout_seconds=10)


def test_a_piece_that_hangs_shows_its_log(registry: Registry) -> None:
    """The error of a piece that does not get ready says how long was waited."""
    process = registry.start("hung", STUBBORN)
    with pytest.raises(LabError, match=r"hung is not ready after 0\.5 s"):
        await_ready(process, lambda: False, timeout_seconds=0.5)
    process.kill()


def test_a_log_that_is_gone_is_no_error() -> None:
    """The tail of a log that nobody wrote is empty."""
    assert Process(name="x", pid=1, started=0, log="/nowhere/x.log").log_tail() == "    (no log)"


def test_variables_of_the_caller_do_not_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers and clients of the lab do not see PGHOST and the like."""
    monkeypatch.setenv("PGHOST", "production")
    monkeypatch.setenv("HA_TARGETS", "redis://production")
    assert not {"PGHOST", "HA_TARGETS"} & environment({}).keys()


def test_a_program_that_cannot_run_says_why() -> None:
    """Running what is not there gives a code and a reason, no traceback."""
    answer = run(["/nowhere/psql"])
    assert (answer.code, "No such file" in answer.complaint) == (126, True)


def _alive(registry: Registry, name: str) -> bool:
    process = registry.find(name)
    return process is not None and process.alive


def _states(process: Process) -> set[str]:
    return {member.status() for member in process.family()}
