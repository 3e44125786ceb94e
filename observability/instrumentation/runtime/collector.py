"""How long the garbage collector stops the program."""

from __future__ import annotations

import gc
from bisect import bisect_left
from collections.abc import Iterator
from time import perf_counter

from observability.instrumentation.runtime import metrics
from observability.instrumentation.runtime.metrics import PAUSE_BUCKETS
from observability.metrics import Histogram, Sample


class CollectorWatch:
    """Measures every run of the garbage collector; there is one at a time, so it needs no lock."""

    def __init__(self) -> None:
        self.forget()
        gc.callbacks.append(self._called)

    def forget(self) -> None:
        """Start from nothing."""
        self._began = 0.0
        self._counts = [[0] * (len(PAUSE_BUCKETS) + 1) for _ in gc.get_count()]
        self._sums = [0.0 for _ in self._counts]

    def stop(self) -> None:
        """Measure no more."""
        if self._called in gc.callbacks:
            gc.callbacks.remove(self._called)

    def samples(self) -> Iterator[Sample]:
        """The pauses, and what the collector itself has counted since the process began."""
        for generation, (counts, seconds) in enumerate(zip(self._counts, self._sums, strict=True)):
            yield Sample(metrics.PAUSE, Histogram(tuple(counts), seconds), (str(generation),))
        for generation, stats in enumerate(gc.get_stats()):
            yield Sample(metrics.COLLECTIONS, stats["collections"], (str(generation),))
            yield Sample(metrics.COLLECTED, stats["collected"], (str(generation),))
            yield Sample(metrics.UNCOLLECTABLE, stats["uncollectable"], (str(generation),))

    def _called(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = perf_counter()
        elif self._began:
            seconds = perf_counter() - self._began
            generation = info["generation"]
            self._counts[generation][bisect_left(PAUSE_BUCKETS, seconds)] += 1
            self._sums[generation] += seconds
