"""
Processes of the lab: each in a session of its own, registered on disk, and signalled only while it is surely ours.

A process is ours when its pid still has the start time that was written down, or when it carries the lab's mark in its
environment (which finds what was started in the instant before a `kill -9` of the lab).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from observability.errors import LabError
from observability.lab.account import Account

MARK = "HA_OBSERVABILITY_LAB"
"""Environment variable that every process of a lab carries; its value is the state directory."""

# Variables that change what our servers and clients do (PGHOST, REDIS_URL, ...) must not leak in from the caller.
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_START_TOLERANCE_SECONDS = 2.0  # the kernel's boot time, to which start times refer, is adjusted with the clock
_TAIL_LINES = 15
_RUN_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process that the lab started."""

    name: str
    pid: int
    started: float
    log: str

    def handle(self) -> psutil.Process | None:
        """The living process; None when it has ended, or its pid belongs to somebody else now."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < _START_TOLERANCE_SECONDS
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None

    @property
    def alive(self) -> bool:
        """Whether it still runs (a frozen one does)."""
        return self.handle() is not None

    def family(self) -> list[psutil.Process]:
        """The process and its descendants, parents first."""
        process = self.handle()
        return [process, *_descendants(process)] if process else []

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
        stop([self], signal.SIGKILL, timeout_seconds=5)

    def log_tail(self) -> str:
        """The last lines of its log."""
        with contextlib.suppress(OSError):
            lines = Path(self.log).read_text(errors="replace").splitlines()
            return "\n".join(f"    {line}" for line in lines[-_TAIL_LINES:]) or "    (empty)"
        return "    (no log)"


class Registry:
    """Starts processes and remembers them in `processes/NAME.json` of the state directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._files = directory / "processes"
        self._logs = directory / "logs"
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def start(
        self, name: str, argv: Sequence[str | Path], *, cwd: Path | None = None, account: Account | None = None
    ) -> Process:
        """
        Start a process in the background, its output going to `logs/NAME.log`.

        No secret may be in `argv`: everybody on the machine can read it.
        """
        self._files.mkdir(exist_ok=True)
        self._logs.mkdir(exist_ok=True)
        log = self._logs / f"{name}.log"
        with log.open("ab") as output:
            child = subprocess.Popen(  # noqa: S603  # the lab runs the programs it has found itself
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd or self.directory,
                env=environment({MARK: str(self.directory)}),
                start_new_session=True,
                **(account.options() if account else {}),
            )
        self._children[child.pid] = child
        process = Process(name=name, pid=child.pid, started=_started(child.pid), log=str(log))
        _write(self._files / f"{name}.json", json.dumps(asdict(process)))
        return process

    def find(self, name: str) -> Process | None:
        """The process last started under a name, whether it still lives or not."""
        with contextlib.suppress(FileNotFoundError):
            return Process(**json.loads((self._files / f"{name}.json").read_text()))
        return None

    def get(self, name: str) -> Process:
        """
        The living process of a name.

        Raises:
            LabError: when it does not run.

        """
        process = self.find(name)
        if process is None or not process.alive:
            raise LabError(f"{name} does not run in the lab in {self.directory}; see `lab status`")
        return process

    def all(self) -> list[Process]:
        """Every process that was started, the latest first, so that clients end before their servers."""
        found = [process for path in self._files.glob("*.json") if (process := self.find(path.stem))]
        return sorted(found, key=lambda process: process.started, reverse=True)

    def stop_all(self, sign: signal.Signals = signal.SIGTERM, *, timeout_seconds: float = 5) -> None:
        """End everything that was started, and what carries our mark without being registered."""
        stop(self.all(), sign, timeout_seconds=timeout_seconds)
        for process in marked(self.directory):
            send(process, signal.SIGKILL)
        self.reap()

    def reap(self) -> None:
        """Collect the exit codes of our children, so that they do not stay as zombies."""
        for pid, child in list(self._children.items()):
            if child.poll() is not None:
                del self._children[pid]


def stop(processes: Iterable[Process], sign: signal.Signals, *, timeout_seconds: float) -> None:
    """Ask processes to end, wait, and kill with their descendants those that have not."""
    families = [family for process in processes if (family := process.family())]
    for family in families:
        if sign != signal.SIGKILL:
            send(family[0], sign)
            for member in family:
                send(member, signal.SIGCONT)  # a frozen process cannot end
    members = [member for family in families for member in family]
    if sign != signal.SIGKILL:
        members = _await_end(members, timeout_seconds)
    for member in members:
        send(member, signal.SIGKILL)
    _await_end(members, timeout_seconds)


def send(process: psutil.Process, sign: signal.Signals) -> None:
    """Send a signal; psutil refuses when the pid has been given to another process."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(sign)


def await_ready(process: Process, check: Callable[[], bool], *, timeout_seconds: float) -> None:
    """
    Wait until `check` is true.

    Raises:
        LabError: when the process ends first or is not ready in time, with the tail of its log.

    """
    deadline = time.monotonic() + timeout_seconds
    while not check():
        if not process.alive:
            raise LabError(
                f"{process.name} ended while it was starting. The end of {process.log}:\n{process.log_tail()}"
            )
        if time.monotonic() > deadline:
            raise LabError(
                f"{process.name} is not ready after {timeout_seconds:g} s. The end of {process.log}:\n{process.log_tail()}"
            )
        time.sleep(0.05)


def marked(directory: Path) -> Iterator[psutil.Process]:
    """Living processes that belong to the lab of this directory by their environment, registered or not."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and _belongs(process, directory):
                yield process


def run(
    argv: Sequence[str | Path],
    *,
    account: Account | None = None,
    text: str = "",
    extra: Mapping[str, str] | None = None,
) -> tuple[int, str, str]:
    """
    Run a program to its end: its exit code, what it printed, and what it complained about.

    A program that cannot even be executed gives the codes of a shell, 126.
    """
    try:
        answer = subprocess.run(  # noqa: S603  # the lab runs the programs it has found itself
            [str(word) for word in argv],
            input=text,
            cwd="/",
            env=environment(extra or {}),
            check=False,
            capture_output=True,
            text=True,
            timeout=_RUN_SECONDS,
            **(account.options() if account else {}),
        )
    except OSError as error:
        return 126, "", str(error)
    return answer.returncode, answer.stdout, answer.stderr.strip()


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of the lab's processes."""
    inherited = {name: value for name, value in os.environ.items() if name in _INHERITED or name.startswith("COVERAGE")}
    return inherited | {"LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "1"} | dict(extra)


def _belongs(process: psutil.Process, directory: Path) -> bool:
    # A PostgreSQL backend overwrites its environment with its title, but it always works in its data directory.
    if process.name() == "postgres":
        return Path(process.cwd()).is_relative_to(directory)
    return process.environ().get(MARK) == str(directory)


def _await_end(processes: list[psutil.Process], timeout_seconds: float) -> list[psutil.Process]:
    """
    Wait for processes to end and give those that have not.

    A zombie has ended: in a container nobody may ever collect it, so waiting for its pid to vanish could last for ever.
    """
    deadline = time.monotonic() + timeout_seconds
    while (processes := [process for process in processes if _runs(process)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return processes


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _started(pid: int) -> float:
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return 0.0


def _write(path: Path, text: str) -> None:
    """Replace a file in one step: a reader sees the old text or the new one."""
    temporary = path.with_suffix(".new")
    temporary.write_text(text)
    temporary.replace(path)
