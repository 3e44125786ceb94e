"""Writes down what was counted by those who do not count in cells themselves."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, TypeAlias

from observability.instrumentation.workers.cells import Block, Cells
from observability.instrumentation.workers.rows import Attributes, Labels
from observability.metrics import Batch, Histogram, Metric, Value

_Key: TypeAlias = tuple[Metric, Attributes, Labels]
COUNTED = frozenset({"counter", "histogram"})
"""Kinds of metric whose values outlive their worker."""


class Mirror:
    """The cells of every counter that was seen so far."""

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        self._lock = threading.Lock()
        self._images: dict[_Key, _Image] = {}

    def write(self, batches: Iterable[tuple[Batch, frozenset[Metric]]]) -> None:
        """
        Write down the counters among the samples, except for the metrics that come with each batch.

        Of several with the same name and labels the first counts, as it does in a sink.
        """
        with self._lock:
            seen: set[_Key] = set()
            for (attributes, samples, since), others in batches:
                for metric, value, labels in samples:
                    key = metric, attributes, labels
                    if metric.kind in COUNTED and metric not in others and key not in seen:
                        seen.add(key)
                        (self._images.get(key) or self._new(*key)).write(value, since)

    def _new(self, metric: Metric, attributes: Attributes, labels: Labels) -> _Image:
        if metric.kind == "histogram":
            block = self._cells.take(len(metric.buckets) + 2)
            where: dict[str, Any] = {"counts": block.first + 1, "sum": block.first}
        else:
            block = self._cells.take(1)
            where = {"float": block.first}
        self._cells.describe(metric, attributes, labels, **where)
        image = self._images[metric, attributes, labels] = _Image(block)
        return image


class _Image:
    """One series: what its source tells now, on top of what earlier sources of the same name have told."""

    __slots__ = ("_before", "_before_counts", "_block", "_since", "_size", "_told")

    def __init__(self, block: Block) -> None:
        self._block = block
        self._since: float | None = None
        self._size = self._told = self._before = 0.0
        self._before_counts = [0] * (len(block.integers) - 1)

    def write(self, value: Value, since: float | None) -> None:
        """Take over what the source tells now."""
        counts, told = (value.counts, value.sum) if isinstance(value, Histogram) else ((), value)
        size = sum(counts) if counts else told
        if since != self._since or size < self._size:
            # Another source has the name now, and begins from nothing.
            self._before = self._block.floats[0]
            self._before_counts = self._block.integers[1:].tolist()
        elif (size, told) == (self._size, self._told):
            return
        self._since, self._size, self._told = since, size, told
        self._block.floats[0] = self._before + told
        for place, (before, count) in enumerate(zip(self._before_counts, counts, strict=False), 1):
            self._block.integers[place] = before + count
