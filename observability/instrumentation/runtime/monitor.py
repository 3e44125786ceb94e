"""Watches the runtime of this process, from when it is first asked for until it is stopped."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

from observability.instrumentation import registry
from observability.instrumentation.own_errors import OwnErrors
from observability.instrumentation.runtime import metrics, process
from observability.instrumentation.runtime.collector import CollectorWatch
from observability.instrumentation.runtime.loops import LoopWatch
from observability.metrics import Batch, Histogram, Sample

_INTERVAL_SECONDS = 0.1


class RuntimeMetrics:
    """What `runtime_metrics` gives: the figures of this process, and the way to stop them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._errors = OwnErrors("runtime")
        self._loops: list[LoopWatch] = []
        self._closed: dict[str, Histogram] = {}
        self._since = time.time()
        self._collector = CollectorWatch()
        process.build()  # reads files, which the first scrape need not wait for

    def watch(
        self, loop: asyncio.AbstractEventLoop, *, name: str = "main", interval_seconds: float = _INTERVAL_SECONDS
    ) -> None:
        """Measure the lag of an event loop until it is closed; one that is watched already stays as it is."""
        with self._lock:
            self._bury()
            if all(each.loop is not loop for each in self._loops):
                self._loops.append(LoopWatch(loop, name, interval_seconds))

    def collect(self) -> tuple[Batch, ...]:
        """The samples of this moment."""
        return (Batch((), list(self._samples()), self._since),)

    def forget(self) -> None:
        """Start from nothing, as the child of a fork must: its parent's loops do not run in it."""
        self._lock = threading.Lock()
        self._loops = []
        self._closed = {}
        self._since = time.time()
        self._collector.forget()

    def stop(self) -> None:
        """Measure no more, and leave nothing behind."""
        global _running  # noqa: PLW0603
        with _starting:
            registry.discard(self)
            self._collector.stop()
            with self._lock:
                for each in self._loops:
                    each.stop()
                self._loops = []
            if _running is self:
                _running = None

    def _samples(self) -> Iterator[Sample]:
        with self._lock:
            self._bury()
            loops = list(self._loops)
            lags = dict(self._closed)
        longest: dict[str, float] = {}
        for each in loops:
            lags[each.name] = _plus(lags.get(each.name), each)
            longest[each.name] = max(each.longest(), longest.get(each.name, 0.0))
        for name, lag in lags.items():
            yield Sample(metrics.LAG, lag, (name,))
        for name, seconds in longest.items():
            yield Sample(metrics.LAG_MAX, seconds, (name,))
        yield from self._collector.samples()
        try:
            yield from process.samples()
        except Exception as error:  # noqa: BLE001 -- a border: the other figures are as good as ever
            self._errors.note(error)
        yield self._errors.sample()

    def _bury(self) -> None:
        """Keep what loops have counted that are closed, and nothing else of them; the caller holds the lock."""
        for each in [each for each in self._loops if each.loop is None]:
            self._loops.remove(each)
            self._closed[each.name] = _plus(self._closed.get(each.name), each)


def _plus(lag: Histogram | None, watch: LoopWatch) -> Histogram:
    if lag is None:
        return Histogram(tuple(watch.counts), watch.sum)
    return Histogram([a + b for a, b in zip(lag.counts, watch.counts, strict=True)], lag.sum + watch.sum)


_running: RuntimeMetrics | None = None
_starting = threading.RLock()


def runtime_metrics() -> RuntimeMetrics:
    """
    Tell what this process does, from now on; to call it again gives the same.

    Where an event loop runs, its lag is measured; `RuntimeMetrics.watch` adds others. There is one for a process, and it
    lives until it is stopped.
    """
    global _running  # noqa: PLW0603 -- a process has one garbage collector and one set of figures
    with _starting:
        if _running is None:
            _running = RuntimeMetrics()
            registry.add(_running)
        running = _running
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return running
    running.watch(loop)
    return running
