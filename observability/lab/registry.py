"""
Starts the lab's processes and remembers them on disk, so that any later command knows what is the lab's and what is not.

Each process also carries the lab's mark in its environment: this finds what was started in the instant before a
`kill -9` of the lab, when it had no time to write it down.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import psutil

from observability.errors import LabError
from observability.lab.account import Account
from observability.lab.command import environment
from observability.lab.process import Process, runs, send, stop

MARK = "HA_OBSERVABILITY_LAB"
"""Environment variable of every process of a lab; its value is the state directory."""


class Registry:
    """The processes of one state directory, each in `processes/NAME.json`, its output in `logs/NAME.log`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._files = directory / "processes"
        self._logs = directory / "logs"
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._starting = threading.Lock()
        self._closed = False

    def start(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        account: Account | None = None,
        ends_with: int = signal.SIGTERM,
    ) -> Process:
        """
        Start a process in the background, in a session of its own, so that a Ctrl-C at the terminal does not reach it.

        Args:
            name: under which it is found again.
            argv: the program and its arguments; never a secret, since everybody on the machine can read them.
            cwd: its working directory, the state directory unless given.
            account: who runs it; ourselves unless given.
            ends_with: the signal that asks it to end.

        Raises:
            LabError: when the lab is going down meanwhile.

        """
        self._files.mkdir(exist_ok=True)
        self._logs.mkdir(exist_ok=True)
        log = self._logs / f"{name}.log"
        with self._starting, log.open("ab") as output:
            if self._closed:
                raise LabError(f"{name} is not started: the lab is going down")
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
            process = Process(name=name, pid=child.pid, started=_started(child.pid), log=str(log), ends_with=ends_with)
            write(self._files / f"{name}.json", json.dumps(asdict(process)))
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
            raise LabError(f"{name} does not run; see `lab status`, or put everything right with `lab heal`")
        return process

    def all(self) -> list[Process]:
        """Every process that was started."""
        return [process for path in sorted(self._files.glob("*.json")) if (process := self.find(path.stem))]

    def stop_all(self) -> None:
        """End everything that was started, and what carries our mark without being registered; start nothing more."""
        with self._starting:
            self._closed = True
        stop(self.all())
        for process in marked(self.directory):
            send(process, signal.SIGKILL)
        self.reap()

    def reap(self) -> None:
        """Collect the exit codes of our children, so that they do not stay as zombies."""
        for pid, child in list(self._children.items()):
            if child.poll() is not None:
                del self._children[pid]


def marked(directory: Path) -> Iterator[psutil.Process]:
    """Living processes that belong to the lab of this directory, registered or not."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if runs(process) and _belongs(process, directory):
                yield process


def write(path: Path, text: str) -> None:
    """Replace a file in one step: a reader sees the old text or the new one."""
    temporary = path.with_suffix(".new")
    temporary.write_text(text)
    temporary.replace(path)


def _belongs(process: psutil.Process, directory: Path) -> bool:
    # A PostgreSQL backend overwrites its environment with its title, but it always works in its data directory.
    if process.name() == "postgres":
        return Path(process.cwd()).is_relative_to(directory)
    return process.environ().get(MARK) == str(directory)


def _started(pid: int) -> float:
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return 0.0
