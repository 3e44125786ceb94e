"""What the process takes from the system, read when asked; what the system does not tell is absent."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, NamedTuple

from observability.instrumentation.runtime import metrics
from observability.metrics import Sample

_SELF: Final = Path("/proc/self")
# Fields of /proc/self/stat after the name, which is in parentheses and may hold anything; see proc_pid_stat(5).
_THREADS, _STARTED, _VIRTUAL, _RESIDENT = 17, 19, 20, 21


class _Stat(NamedTuple):
    threads: int
    virtual_bytes: int
    resident_bytes: int


def samples() -> Iterator[Sample]:
    """All there is to say about this process now."""
    yield from _usage()
    stat = _stat()
    if stat:
        yield Sample(metrics.MEMORY, stat.resident_bytes)
        yield Sample(metrics.VIRTUAL_MEMORY, stat.virtual_bytes)
        yield Sample(metrics.THREADS, stat.threads)
    used, limit = _descriptors(), _descriptor_limit()
    yield from metrics.DESCRIPTORS.known(used)
    yield from metrics.DESCRIPTOR_LIMIT.known(limit)
    if used is not None and limit:
        yield Sample(metrics.DESCRIPTORS_USED, used / limit)
    started = _started(os.getpid())
    if started is not None:
        yield Sample(metrics.START, _start_time(started))
        yield Sample(metrics.UPTIME, max(0.0, _since_boot() - started))
    yield Sample(metrics.BUILD, 1, build())


@cache
def build() -> tuple[str, str, str]:
    """Which Python, in which version, and which version of this package run here."""
    try:
        package = version("ha-observability")
    except PackageNotFoundError:
        package = ""
    return platform.python_implementation().lower(), platform.python_version(), package


def _usage() -> Iterator[Sample]:
    try:
        import resource
    except ImportError:  # Windows
        times = os.times()
        yield Sample(metrics.CPU, times.user, ("user",))
        yield Sample(metrics.CPU, times.system, ("system",))
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    yield Sample(metrics.CPU, usage.ru_utime, ("user",))
    yield Sample(metrics.CPU, usage.ru_stime, ("system",))
    yield Sample(metrics.CONTEXT_SWITCHES, usage.ru_nvcsw, ("voluntary",))
    yield Sample(metrics.CONTEXT_SWITCHES, usage.ru_nivcsw, ("involuntary",))
    yield Sample(metrics.FAULTS, usage.ru_majflt, ("major",))
    yield Sample(metrics.FAULTS, usage.ru_minflt, ("minor",))


def _stat() -> _Stat | None:
    fields = _fields()
    if fields is None:
        return None
    return _Stat(int(fields[_THREADS]), int(fields[_VIRTUAL]), int(fields[_RESIDENT]) * os.sysconf("SC_PAGE_SIZE"))


def _fields() -> list[str] | None:
    try:
        return (_SELF / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


def _descriptors() -> int | None:
    with contextlib.suppress(OSError):
        # Linux tells their number as the size of the directory since 6.2; before, they must be counted.
        return (_SELF / "fd").stat().st_size or len(list((_SELF / "fd").iterdir())) - 1
    return None


def _descriptor_limit() -> int | None:
    try:
        import resource
    except ImportError:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


@cache
def _started(pid: int) -> float | None:  # noqa: ARG001 -- the key of the cache: a forked child began later
    """When the process started, in seconds since the machine did; the kernel counts it in ticks."""
    fields = _fields()
    return None if fields is None else int(fields[_STARTED]) / os.sysconf("SC_CLK_TCK")


@cache
def _start_time(started: float) -> float:
    """The same in seconds since 1970; computed once, as a clock that is set must not look like a restart."""
    return time.time() - (_since_boot() - started)


def _since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
