"""
Whether this process is a worker of a server that has several, and whose.

Only where that is certain: uvicorn, hypercorn and granian start their workers by multiprocessing, and gunicorn's workers
have its signal handlers. Everybody else names a directory.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

_STARTED_BY_MULTIPROCESSING = ("uvicorn", "hypercorn", "granian")


def supervisor(*, forked: bool = False) -> int | None:
    """The pid of the process that started this worker and others; `forked` says that this process was forked just now."""
    return _multiprocessing() or _gunicorn(forked=forked)


def is_arbiter() -> bool:
    """Whether this process is gunicorn's arbiter, which serves nothing itself, with the application loaded."""
    return "gunicorn.arbiter" in sys.modules and _multiprocessing() is None and _gunicorn(forked=False) is None


def started(pid: int) -> int | None:
    """When a process started, in ticks since the machine did, so that its pid is not taken for another's; None without one."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None if Path("/proc/self/stat").exists() else _runs(pid)
    # The name of the program, in parentheses, may hold anything.
    return int(text.rpartition(")")[2].split()[19])


def _multiprocessing() -> int | None:
    process = sys.modules.get("multiprocessing.process")
    parent = process.parent_process() if process else None
    return parent.pid if parent and any(name in sys.modules for name in _STARTED_BY_MULTIPROCESSING) else None


def _gunicorn(*, forked: bool) -> int | None:
    base = sys.modules.get("gunicorn.workers.base")
    if base is None:
        return None
    worker = getattr(signal.getsignal(signal.SIGUSR1), "__self__", None)
    # The arbiter forks with the application loaded if told to preload it; the handlers come later.
    return os.getppid() if forked or isinstance(worker, base.Worker) else None


def _runs(pid: int) -> int | None:
    """Where the system does not say when a process started: 0 for one that is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return 0
