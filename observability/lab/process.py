"""A process that the lab started: it is signalled only while its pid still has the start time that was written down."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

_START_TOLERANCE_SECONDS = 2.0  # the kernel's boot time, to which start times refer, is adjusted with the clock
_TAIL_LINES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process by its pid and start time; `ends_with` is the signal that asks it to end."""

    name: str
    pid: int
    started: float
    log: str
    ends_with: int = signal.SIGTERM

    def handle(self) -> psutil.Process | None:
        """The living process; None when it has ended, or its pid belongs to somebody else now."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < _START_TOLERANCE_SECONDS
            return process if same and runs(process) else None
        except psutil.NoSuchProcess:
            return None

    @property
    def alive(self) -> bool:
        """Whether it still runs (a frozen one does)."""
        return self.handle() is not None

    @property
    def frozen(self) -> bool:
        """Whether it is stopped by a signal."""
        handle = self.handle()
        return handle is not None and handle.status() == psutil.STATUS_STOPPED

    def family(self) -> list[psutil.Process]:
        """The process and its descendants, parents first."""
        process = self.handle()
        return [process, *_descendants(process)] if process else []

    def listens_on(self, port: int) -> bool:
        """Whether it, or one of its descendants, is who accepts connections on a port."""
        return any(
            connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            for member in self.family()
            for connection in _connections(member)
        )

    def freeze(self) -> None:
        """Stop it and all its descendants with SIGSTOP, the parent first so that it starts no new ones meanwhile."""
        for process in self.family():
            send(process, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it and all its descendants go on, the children first so that the parent finds them awake."""
        for process in reversed(self.family()):
            send(process, signal.SIGCONT)

    def kill(self) -> None:
        """End it and all its descendants at once, as a crash of the machine would."""
        stop([self], signal.SIGKILL)

    def log_tail(self) -> str:
        """The last lines of its log."""
        with contextlib.suppress(OSError):
            lines = Path(self.log).read_text(errors="replace").splitlines()
            return "\n".join(f"    {line}" for line in lines[-_TAIL_LINES:]) or "    (empty)"
        return "    (no log)"


def stop(processes: Iterable[Process], sign: int | None = None, *, timeout_seconds: float = 5) -> None:
    """
    Ask processes to end, all at the same time; kill with their descendants those that have not in time.

    `sign` is sent instead of the signal that each has of its own.
    """
    families = [(process, family) for process in processes if (family := process.family())]
    if sign != signal.SIGKILL:
        for process, family in families:
            send(family[0], sign or process.ends_with)
            for member in family:
                send(member, signal.SIGCONT)  # a frozen process cannot end
        _await_end([family[0] for _, family in families], timeout_seconds)
    left = [member for _, family in families for member in family]
    for member in left:
        send(member, signal.SIGKILL)
    _await_end(left, timeout_seconds)


def send(process: psutil.Process, sign: int) -> None:
    """Send a signal; psutil refuses when the pid has been given to another process."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(sign)


def runs(process: psutil.Process) -> bool:
    """Whether a process has not ended; a zombie has, though in a container nobody may ever collect it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _await_end(processes: Iterable[psutil.Process], timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while any(runs(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(0.02)


def _connections(process: psutil.Process) -> list[Any]:
    try:
        return list(process.net_connections("tcp"))
    except psutil.NoSuchProcess:
        return []


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
