"""What counts in cells as if it counted in itself: the same names, a few nanoseconds more, and it outlives the process."""

from __future__ import annotations

import ctypes
from bisect import bisect_left
from collections.abc import Callable
from typing import ClassVar, Self, TypeAlias

from observability.instrumentation.workers.cells import Block, Cells
from observability.instrumentation.workers.rows import Attributes, Labels
from observability.metrics import Metric

Key: TypeAlias = tuple[Metric, Labels]


class SharedObservations(ctypes.Structure):
    """A histogram: its first cell is `sum`, the others are `counts`."""

    __slots__ = ("counts",)
    _fields_: ClassVar = [("sum", ctypes.c_double)]

    counts: memoryview[int]
    sum: float

    @classmethod
    def within(cls, block: Block) -> Self:
        """The histogram that lies in a block."""
        made = cls.from_buffer(block.integers)
        made.counts = block.integers[1:]
        return made

    def add(self, value: float, bounds: tuple[float, ...]) -> None:
        """Observe a value."""
        self.counts[bisect_left(bounds, value)] += 1
        self.sum += value


class SharedCounts(dict[Key, int]):
    """Counts by metric and labels; one that was never counted is 0. `cell_of` gives a new count its cell."""

    def __init__(self, cell_of: Callable[[Key], memoryview[int]]) -> None:
        super().__init__()
        self._cell_of = cell_of
        self._places: dict[Key, memoryview[int]] = {}

    def __missing__(self, key: Key) -> int:
        return 0

    def __setitem__(self, key: Key, value: int) -> None:
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = self._cell_of(key)
        place[0] = value
        super().__setitem__(key, value)


def shared_observations(cells: Cells, metric: Metric, attributes: Attributes, labels: Labels) -> SharedObservations:
    """A histogram in cells of its own."""
    block = cells.take(len(metric.buckets) + 2)
    cells.describe(metric, attributes, labels, counts=block.first + 1, sum=block.first)
    return SharedObservations.within(block)


def shared_counts(cells: Cells, attributes: Attributes) -> SharedCounts:
    """Counts in cells of their own, taken as they are needed."""

    def cell_of(key: Key) -> memoryview[int]:
        block = cells.take(1)
        cells.describe(key[0], attributes, key[1], plus=[[block.first, 1]])
        return block.integers

    return SharedCounts(cell_of)
