"""How late an event loop runs what is due: measured by a timer, which costs a few microseconds a few times a second."""

from __future__ import annotations

import asyncio
import weakref
from bisect import bisect_left
from time import perf_counter
from typing import Final

from observability.instrumentation.runtime.metrics import LAG_BUCKETS

_WINDOW_SECONDS: Final = 10.0
_WINDOWS: Final = 6


class LoopWatch:
    """
    Watches one event loop, and does not keep it.

    The longest lag is kept for a minute rather than until somebody asks, so that two who ask see the same.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str, interval_seconds: float) -> None:
        self.name = name
        self.counts = [0] * (len(LAG_BUCKETS) + 1)
        self.sum = 0.0
        self._loop = weakref.ref(loop)
        self._interval = interval_seconds
        self._stopped = False
        self._windows = [0.0] * _WINDOWS
        self._turn_at = self._due = perf_counter()
        loop.call_soon_threadsafe(self._begin)

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop, None when it is closed or gone."""
        loop = self._loop()
        return None if loop is None or loop.is_closed() else loop

    def longest(self) -> float:
        """The longest lag of the last minute; a timer that is overdue now counts as far as it is."""
        loop = self.loop
        overdue = perf_counter() - self._due if loop and loop.is_running() else 0.0
        return max(overdue, *self._windows)

    def stop(self) -> None:
        """Let the timer that is set be the last."""
        self._stopped = True

    def _begin(self) -> None:
        self._set(perf_counter())

    def _tick(self) -> None:
        now = perf_counter()
        # The loop's clock is coarser than this one: a timer may seem to be early.
        lag = max(0.0, now - self._due)
        self.counts[bisect_left(LAG_BUCKETS, lag)] += 1
        self.sum += lag
        if now >= self._turn_at:
            self._windows = [0.0, *self._windows[:-1]]
            self._turn_at = now + _WINDOW_SECONDS
        self._windows[0] = max(self._windows[0], lag)
        self._set(now)

    def _set(self, now: float) -> None:
        if not self._stopped:
            self._due = now + self._interval
            # Its handle is not kept: it would keep the loop.
            asyncio.get_running_loop().call_later(self._interval, self._tick)
