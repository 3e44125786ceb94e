"""Whether this process is one of several workers, which is decided when it makes the first application that serves metrics."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Final

from observability.errors import InstrumentationError
from observability.instrumentation import registry
from observability.instrumentation.workers.directory import Directory, of_supervisor
from observability.instrumentation.workers.group import Group
from observability.instrumentation.workers.supervisor import is_arbiter, started, supervisor
from observability.instrumentation.workers.worker import Worker
from observability.metrics import Batch

VARIABLE: Final = "HA_MULTIPROCESS_DIR"
"""The environment variable that names the directory in which workers meet; empty, nobody meets."""

_log = logging.getLogger("observability.instrumentation")


class _Membership:
    """What this process is; there is one of it, as a process has one set of engines."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.wanted = False
        self.worker: Worker | None = None
        self.group: Group | None = None
        self.problem: str | None = None

    def join(self, directory: Directory, run: str) -> None:
        try:
            directory.prepare()
            self.worker = Worker(directory, run)
        except OSError as error:
            raise InstrumentationError(f"this worker cannot meet the others in {directory.path}: {error}") from error
        self.group = Group(directory)


_here = _Membership()


def join_workers(directory: str | os.PathLike[str]) -> None:
    """
    Be one of several workers, which meet in `directory`; any of them then tells what all of them have done.

    `metrics_app()` does it by itself in workers of uvicorn and gunicorn, and where HA_MULTIPROCESS_DIR names a directory.

    Raises:
        InstrumentationError: when that cannot be done.

    """
    with _here.lock:
        wanted = Directory(Path(directory).absolute() / "workers")
        if _here.worker is None:
            _here.join(wanted, _run(os.getppid()))
        elif _here.worker.directory.path != wanted.path:
            raise InstrumentationError(f"this process is a worker in {_here.worker.directory.path} already")


def leave_workers() -> None:
    """Be a worker no longer; what was counted until now stays with the others."""
    with _here.lock:
        worker, _here.worker, _here.group = _here.worker, None, None
        if worker:
            worker.leave()


def join_if_worker(environ: Mapping[str, str]) -> None:
    """
    Join the other workers, if this process is one of several as far as can be told.

    Raises:
        InstrumentationError: when the environment says where, and it cannot be done.

    """
    with _here.lock:
        _here.wanted = True
        if _here.worker is None and _here.problem is None and not is_arbiter():
            _decide(environ, forked=False)


def one_of_several() -> bool:
    """Whether this process tells what others have done as well, and has to ask them."""
    return _here.worker is not None


def collect() -> list[Batch]:
    """
    The samples of all workers, or of this process if it is alone.

    Raises:
        InstrumentationError: when there are other workers, and they cannot be found.

    """
    if _here.problem:
        raise InstrumentationError(_here.problem)
    worker, group = _here.worker, _here.group
    if worker is None or group is None:
        return list(chain.from_iterable(source() for source in registry.sources()))
    try:
        return group.collect(worker)
    except (OSError, ValueError, LookupError) as error:
        raise InstrumentationError(f"the files in {worker.directory.path} cannot be read: {error}") from error


def _decide(environ: Mapping[str, str], *, forked: bool) -> None:
    given = environ.get(VARIABLE)
    if given:
        join_workers(given)
    elif given is None and (pid := supervisor(forked=forked)):
        try:
            _here.join(of_supervisor(pid, environ), _run(pid))
        except (OSError, InstrumentationError) as error:
            # The server did not ask for this, so it must not fail by it; but a scrape must not pass one worker off as all.
            _here.problem = (
                f"{error}; name another directory in {VARIABLE}, or set it to nothing to see one worker at a time"
            )
            _log.warning("There will be no metrics: %s.", _here.problem)


def _run(pid: int) -> str:
    return f"{pid}-{started(pid) or 0}"


def _after_fork() -> None:
    """A forked child is a worker of its own, in the directory of its parent."""
    parent, _here.worker, _here.group = _here.worker, None, None
    # Another thread of the parent may have held the lock; it does not exist here.
    _here.lock = threading.RLock()
    if parent:
        parent.abandon()
    if not (parent or _here.wanted) or _about_to_become_another_program():
        return
    try:
        if parent:
            _here.join(parent.directory, parent.run)
        else:
            _decide(os.environ, forked=True)
    except Exception as error:  # noqa: BLE001 -- a border: who forks must not fail by this
        _here.problem = f"{type(error).__name__}: {error}"
        _log.warning("There will be no metrics of this worker: %s.", _here.problem)


def _about_to_become_another_program() -> bool:
    """Whether `subprocess` has forked, to run a function before the program it starts."""
    frame = sys._getframe()  # noqa: SLF001 -- there is no other way to look at one's callers
    while frame.f_back:
        frame = frame.f_back
        if frame.f_globals.get("__name__") == "subprocess":
            return True
    return False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(leave_workers)
