"""
The numbers of a pool in cells, which outlive this process and which other workers read.

Whoever counts does not notice: everything here is used as what it stands in for.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from observability.instrumentation.pool import metrics
from observability.instrumentation.pool.metrics import USE_BUCKETS, WAIT_BUCKETS
from observability.instrumentation.pool.slot import Slot
from observability.instrumentation.workers.counting import SharedCounts, SharedObservations
from observability.metrics import Metric

if TYPE_CHECKING:
    from observability.instrumentation.pool.ledger import Key, Ledger
    from observability.instrumentation.workers.cells import Block, Cells

_NUMBERS: Final = (
    ("quick", ctypes.c_longlong), ("waited", ctypes.c_double), ("used", ctypes.c_double), ("collected", ctypes.c_longlong),
)  # fmt: skip
_WAITED, _USED, _COLLECTED, _WAITS = 1, 2, 3, 4
_USES: Final = _WAITS + len(WAIT_BUCKETS) + 1
_SLOT_CELLS: Final = _USES + len(USE_BUCKETS) + 1


class SharedSlot(ctypes.Structure):
    """A `Slot` whose numbers are cells."""

    __slots__ = tuple(each.name for each in fields(Slot) if each.name not in dict(_NUMBERS))
    _fields_: ClassVar = _NUMBERS

    clear = Slot.clear
    is_stillborn = Slot.is_stillborn
    users_now = Slot.users_now

    waits: memoryview[int]
    uses: memoryview[int]
    owner: Ledger

    @classmethod
    def within(cls, block: Block, owner: Ledger) -> Slot:
        """The slot that lies in a block."""
        made = cls.from_buffer(block.integers)
        for each in fields(Slot):
            if each.name in cls.__slots__ and each.name != "owner":
                setattr(made, each.name, each.default if each.default_factory is MISSING else each.default_factory())
        made.owner = owner
        made.waits, made.uses = block.integers[_WAITS:_USES], block.integers[_USES:]
        return cast("Slot", made)


class _Observations(SharedObservations):
    """A histogram that is filled under a lock, and that knows its bounds."""

    __slots__ = ("bounds",)

    bounds: tuple[float, ...]

    def add(self, value: float, bounds: tuple[float, ...] = ()) -> None:
        """Observe a value."""
        super().add(value, bounds or self.bounds)


class Shared:
    """The numbers of one pool. `returns` says whether each who takes a connection also returns it."""

    def __init__(self, cells: Cells, name: str, *, returns: bool) -> None:
        self._cells = cells
        self._name = name
        self._returns = returns
        self._described: list[tuple[Metric, tuple[str, ...], dict[str, Any]]] = []

    def rename(self, name: str) -> None:
        """Tell everything that was counted so far under another name."""
        self._name = name
        for metric, labels, cells in self._described:
            self._cells.describe(metric, (), (name, *labels), **cells)

    def slot(self, owner: Ledger) -> Slot:
        """A slot with numbers of its own."""
        block = self._cells.take(_SLOT_CELLS)
        first, waits, uses = block.first, block.first + _WAITS, block.first + _USES
        self._describe(metrics.WAIT_TIME, counts=waits, quick=first, sum=first + _WAITED)
        self._describe(metrics.CHECKOUTS, plus=[[first, 1], [waits, _USES - _WAITS]])
        if self._returns:
            self._describe(metrics.USE_TIME, counts=uses, sum=first + _USED)
            self._describe(metrics.CHECKINS, plus=[[uses, _SLOT_CELLS - _USES]])
            self._describe(metrics.COLLECTED, plus=[[first + _COLLECTED, 1]])
        return SharedSlot.within(block, owner)

    def observations(self, metric: Metric) -> Any:
        """A histogram that is filled under a lock."""
        block = self._cells.take(len(metric.buckets) + 2)
        self._describe(metric, counts=block.first + 1, sum=block.first)
        made = _Observations.within(block)
        made.bounds = metric.buckets
        return made

    def counts(self, keys: Iterable[Key]) -> dict[Key, int]:
        """The counts of what happens rarely, each 0."""
        made = SharedCounts(self._cell)
        for key in keys:
            made[key] = 0
        return made

    def adopted_returns(self) -> memoryview[int]:
        """One number: how many connections came back that were out before anybody looked."""
        block = self._cells.take(1)
        if self._returns:
            self._describe(metrics.CHECKINS, plus=[[block.first, 1]])
        return block.integers

    def _cell(self, key: Key) -> memoryview[int]:
        metric, labels = key
        block = self._cells.take(1)
        here = [[block.first, 1]]
        self._describe(metric, *labels, plus=here)
        if metric is metrics.DETACHED and self._returns:
            # It was used until then, but does not come back.
            self._describe(metrics.CHECKINS, minus=here)
        return block.integers

    def _describe(self, metric: Metric, *labels: str, **cells: Any) -> None:
        self._described.append((metric, labels, cells))
        self._cells.describe(metric, (), (self._name, *labels), **cells)
