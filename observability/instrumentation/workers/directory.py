"""
Where the workers of a server meet: a directory of their own, in which each has a seat.

A seat is held by a lock that the kernel takes back when the worker ends, so that a pid never matters. Whoever takes a seat
adds what its last worker had counted to what all the ended had, so that there are never more files than there were workers
at a time.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from observability.errors import InstrumentationError
from observability.instrumentation.workers import ended
from observability.instrumentation.workers.ended import Ended
from observability.instrumentation.workers.reading import Counters
from observability.instrumentation.workers.rows import Together
from observability.instrumentation.workers.supervisor import started

ANY_RUN = "any"
"""The run of a directory that was made for one run alone, whoever starts its workers."""

_MOST_SEATS = 4_096
_PATIENCE_SECONDS = 0.5
_NAME = re.compile(r"(\d+)-(\d+)\.cells")
_SEAT = re.compile(r"\d+\.lock")
_GROUP = re.compile(r"(\d+)-(\d+)")


class Name(NamedTuple):
    """A worker: its seat, and how many there were on that seat with it."""

    seat: int
    number: int

    def __str__(self) -> str:
        return f"{self.seat}-{self.number}"


class Directory:
    """The meeting place of one server's workers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ended = path / "ended.json"

    def prepare(self) -> None:
        """Make the directory; nobody else may have access to it, as what is in it is believed."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self.path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise InstrumentationError(
                f"workers cannot meet in {self.path}: it must be a directory of user {os.geteuid()} that nobody else may "
                "enter (mode 0700)"
            )

    def workers(self) -> list[Name]:
        """All workers, living or not, whose counters are still in files of their own."""
        found = (_NAME.fullmatch(entry.name) for entry in self.path.iterdir())
        return sorted(Name(int(match[1]), int(match[2])) for match in found if match)

    def stem(self, name: Name) -> Path:
        """The path of a worker's files, without their endings."""
        return self.path / str(name)

    def address(self, name: Name) -> Path:
        """The socket at which a worker answers."""
        return self.path / f"{name}.sock"

    def ended(self) -> Ended | None:
        """What the ended workers had counted."""
        return ended.read(self._ended)

    def take_seat(self, run: str) -> tuple[Name, int]:
        """A seat for this process, which it has for as long as it keeps the file descriptor open."""
        self.begin(run)
        for seat in range(_MOST_SEATS):
            lock = _try_lock(self.path / f"{seat}.lock")
            if lock is None:
                continue
            number = self._clear(seat)
            if number is not None:
                return Name(seat, number + 1), lock
            os.close(lock)
        raise InstrumentationError(f"no seat is free in {self.path}")

    def begin(self, run: str) -> None:
        """Forget what another run of the server has left, if nobody of it lives."""
        found = self.ended()
        if found and found.run in {run, ANY_RUN}:
            return
        with self._adding() as alone:
            found = self.ended()
            if not alone or (found and (found.run in {run, ANY_RUN} or self.somebody_lives())):
                return
            for entry in self.path.iterdir():
                if entry.suffix != ".lock":
                    entry.unlink(missing_ok=True)
            ended.write(self._ended, Ended(run, time.time(), {}, ()))

    def somebody_lives(self) -> bool:
        """Whether any seat is taken. Nobody takes one before it has seen that the run is its own."""
        locks = [_try_lock(entry) for entry in self.path.iterdir() if _SEAT.fullmatch(entry.name)]
        for lock in locks:
            if lock is not None:
                os.close(lock)
        return None in locks

    def _clear(self, seat: int) -> int | None:
        """Add what was counted on a seat to the ended; the number of its last worker, None if that cannot be done now."""
        left = [name for name in self.workers() if name.seat == seat]
        if not left:
            found = self.ended()
            return found.seats.get(seat, 0) if found else 0
        with self._adding() as alone:
            found = self.ended() if alone else None
            if found is None:
                return None
            number = max(name.number for name in left)
            if number > found.seats.get(seat, 0):
                self._add(found, left)
            for name in left:
                for suffix in ("cells", "series", "sock"):
                    self.path.joinpath(f"{name}.{suffix}").unlink(missing_ok=True)
            return number

    def _add(self, found: Ended, left: list[Name]) -> None:
        together = Together()
        seats: Mapping[int, int] = found.seats
        for name in sorted(left, reverse=True):
            if name.number > found.seats.get(name.seat, 0):
                for row in Counters(self.stem(name)).rows():
                    together.add(row)
                seats = {**seats, name.seat: max(name.number, seats.get(name.seat, 0))}
        for row in found.rows:
            together.add(row)
        ended.write(self._ended, found._replace(seats=seats, rows=tuple(together.rows())))

    @contextmanager
    def _adding(self) -> Iterator[bool]:
        """Whether this process is, for now, the only one that writes about the ended; nobody waits long for that."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (lock := _try_lock(self.path / "ended.lock")) is None and time.monotonic() < deadline:
            time.sleep(0.005)
        try:
            yield lock is not None
        finally:
            if lock is not None:
                os.close(lock)


def of_supervisor(pid: int, environ: Mapping[str, str]) -> Directory:
    """Where the workers of a supervisor meet; what dead supervisors have left is removed."""
    base = memory_or_temporary(environ) / f"ha-observability-{os.geteuid()}"
    Directory(base).prepare()
    _remove_abandoned(base)
    return Directory(base / f"{pid}-{started(pid) or 0}")


def memory_or_temporary(environ: Mapping[str, str]) -> Path:
    """Where files for a while are: in memory, where the system has such a place."""
    for place in (environ.get("XDG_RUNTIME_DIR"), "/dev/shm"):  # noqa: S108 -- a directory in it is made for us alone
        if place and os.access(place, os.W_OK):
            return Path(place)
    return Path(tempfile.gettempdir())


def _remove_abandoned(base: Path) -> None:
    for entry in base.iterdir():
        match = _GROUP.fullmatch(entry.name)
        if match and started(int(match[1])) != int(match[2]):
            with contextlib.suppress(OSError):
                if not Directory(entry).somebody_lives():
                    shutil.rmtree(entry, ignore_errors=True)


def _try_lock(path: Path) -> int | None:
    """A file descriptor that holds the lock; None if somebody else does."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
