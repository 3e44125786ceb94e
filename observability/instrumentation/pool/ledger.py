"""
What one pool's instrumentation has counted.

Each connection record of the pool has a `Slot`, in which whoever holds the connection counts: one writer at a time, so
that handing out and returning a connection needs no lock and is exact. The rare events are counted here, under a lock.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import weakref
from bisect import bisect_left
from collections.abc import Callable, MutableSequence
from operator import add, attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from observability.instrumentation.pool import metrics
from observability.instrumentation.pool.reasons import Outcome, outcome
from observability.instrumentation.pool.slot import Slot, holds, nobody
from observability.metrics import Histogram, Metric

if TYPE_CHECKING:
    from sqlalchemy.pool import ConnectionPoolEntry

    from observability.instrumentation.pool.shared import Shared
    from observability.instrumentation.workers.cells import Cells

_log = logging.getLogger("observability.instrumentation.pool")

Key: TypeAlias = tuple[Metric, tuple[str, ...]]
_numbers: Callable[[Slot], tuple[Any, ...]] = attrgetter("waits", "uses", "quick", "waited", "used", "collected")
_NONE = ([(0,) * (len(metrics.WAIT_BUCKETS) + 1)], [(0,) * (len(metrics.USE_BUCKETS) + 1)], (), (), (), ())

COUNTED: tuple[Key, ...] = (
    *((metric, ()) for metric in (
        metrics.TIMEOUTS, metrics.CANCELLED_WAITS, metrics.CONNECTS, metrics.DETACHED, metrics.PRE_PING_FAILURES,
        metrics.DISCONNECTS, metrics.READ_ONLY_ERRORS, metrics.LISTENER_ERRORS,
    )),
    *((metrics.FAILED_CONNECTS, (reason.value,)) for reason in metrics.CONNECT_FAILURES),
    *((metrics.CLOSES, (reason.value,)) for reason in metrics.Close),
    *((metrics.INVALIDATIONS, ("hard", reason.value)) for reason in metrics.Invalidation),
    (metrics.INVALIDATIONS, ("soft", metrics.Invalidation.REQUESTED.value)),
)  # fmt: skip
"""What is told from the start, as a rate needs the 0 before the first."""


class Totals(NamedTuple):
    """Everything that was counted, at one moment."""

    counts: dict[Key, int]
    waits: Histogram
    uses: Histogram
    creates: Histogram
    checkouts: int
    checkins: int
    collected: int


class Ledger:
    """What has happened in one pool since it was instrumented."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._complained = False
        self.forget()

    @property
    def name(self) -> str:
        """The name of the pool."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        self._name = name
        if self._shared:
            self._shared.rename(name)

    def forget(self) -> None:
        """Start from nothing. What the records remember of their slots must be undone first."""
        # Reentrant: the garbage collector may return a connection, and so call a listener, at any moment.
        self._lock = threading.RLock()
        self.since = time.time()
        self._shared: Shared | None = None
        self._slots: list[Slot] = []
        self._dead: list[Slot] = []
        self._spare: list[Slot] = []
        self._counts: dict[Key, int] = dict.fromkeys(COUNTED, 0)
        self._vain = _Observations(metrics.WAIT_BUCKETS)
        self._creates = _Observations(metrics.CREATE_BUCKETS)
        self._adopted_returns: MutableSequence[int] | memoryview[int] = [0]
        self._detached: dict[int, Callable[[], object]] = {}

    @property
    def in_cells(self) -> bool:
        """Whether it counts in cells that other workers read."""
        return self._shared is not None

    def count_in(self, cells: Cells, *, returns: bool) -> None:
        """Count in cells from now on, unless something was counted already."""
        from observability.instrumentation.pool.shared import Shared

        with self._lock:
            if self._shared or self._slots or any(self._counts.values()) or any(self._vain.counts):
                return
            self._shared = shared = Shared(cells, self._name, returns=returns)
            self._vain = shared.observations(metrics.WAIT_TIME)
            self._creates = shared.observations(metrics.CREATE_TIME)
            self._adopted_returns = shared.adopted_returns()
            self._counts = shared.counts(COUNTED)

    def count(self, metric: Metric, *labels: str) -> None:
        """Count one happening."""
        key = (metric, labels)
        with self._lock:
            self._counts[key] = self._counts.get(key, 0) + 1

    def created(self, seconds: float) -> None:
        """A connection was opened."""
        with self._lock:
            self._creates.add(seconds)

    def failed(self, error: BaseException, waited: float) -> None:
        """A request for a connection ended without one."""
        with self._lock:
            self._vain.add(waited)
        result = outcome(error)
        if result is Outcome.TIMED_OUT:
            self.count(metrics.TIMEOUTS)
        elif result is Outcome.CANCELLED:
            self.count(metrics.CANCELLED_WAITS)
        else:
            self.count(metrics.FAILED_CONNECTS, result.value)

    def shared(self, record: ConnectionPoolEntry, proxy: Callable[[], Any], began: float, taken: float) -> None:
        """A connection was handed out that others may hold as well."""
        slot = self.slot(record)
        with self._lock:
            slot.proxy = proxy
            slot.waited += taken - began
            slot.waits[bisect_left(metrics.WAIT_BUCKETS, taken - began)] += 1
            slot.users = slot.users_now()
            slot.users.append((proxy, taken))

    def returned_unnoticed(self, slot: Slot, record: ConnectionPoolEntry) -> None:
        """A record came back that was not seen going out."""
        with self._lock:
            if slot.adopted:  # it was out already when the instrumentation began
                slot.adopted = 0.0
                self._adopted_returns[0] += 1
            elif slot.open and record.dbapi_connection is None and not slot.users_now():
                # Setting up its new connection has failed; one with users is being detached, which is told elsewhere.
                slot.open = False
                self.count(metrics.CLOSES, metrics.Close.LOST)

    def detached(self, connection: object, proxy: Callable[[], object]) -> None:
        """A connection left the pool; `proxy` is the weak reference to whoever has it now."""
        with self._lock:
            self._detached[id(connection)] = proxy
        self.count(metrics.DETACHED)

    def closed_detached(self, connection: object) -> None:
        """A connection that had left the pool was closed."""
        with self._lock:
            self._detached.pop(id(connection), None)

    def detached_open(self) -> int:
        """How many connections have left the pool and are still held by somebody."""
        with self._lock:
            # A copy: the garbage collector may change the original at any moment.
            for key, proxy in self._detached.copy().items():
                if not holds(proxy):
                    self._detached.pop(key, None)
            return len(self._detached)

    def slot(self, record: ConnectionPoolEntry) -> Slot:
        """The slot of a record, which gets one if it has none."""
        with self._lock:
            slot: Slot | None = record.__dict__.get("ha_slot")
            if slot is None or slot.owner is not self:
                self._bury()
                slot = self._spare.pop() if self._spare else self._new_slot()
                slot.record = weakref.ref(record, _burial(self._dead, slot))
                record.__dict__["ha_slot"] = slot
            return slot

    def slots(self) -> list[tuple[Slot, ConnectionPoolEntry]]:
        """The living records with their slots."""
        with self._lock:
            slots = list(self._slots)
        return [(slot, record) for slot in slots if (record := slot.record()) is not None]

    def totals(self) -> Totals:
        """What was counted so far."""
        with self._lock:
            self._bury()
            slots = list(self._slots)
            for slot in slots:
                if slot.proxy is nobody and slot.is_stillborn():
                    slot.open = False
                    self.count(metrics.CLOSES, metrics.Close.LOST)
            counts = dict(self._counts)
            vain, vainly = list(self._vain.counts), self._vain.sum
            returns = self._adopted_returns[0] - counts[metrics.DETACHED, ()]
            creates = Histogram(tuple(self._creates.counts), self._creates.sum)
        waits_of, uses_of, quick, waited, used, collected = zip(*map(_numbers, slots), strict=True) if slots else _NONE
        waits, uses = list(map(sum, zip(*waits_of, strict=True))), list(map(sum, zip(*uses_of, strict=True)))
        waits[0] += sum(quick)
        return Totals(
            counts=counts,
            waits=Histogram(list(map(add, waits, vain)), sum(waited) + vainly),
            uses=Histogram(uses, sum(used)),
            creates=creates,
            checkouts=sum(waits),
            checkins=sum(uses) + returns,
            collected=sum(collected),
        )

    def broke(self, error: Exception) -> None:
        """Count an error of our own, and log the first: the application must neither notice it nor drown in it."""
        with contextlib.suppress(Exception):  # the last border: even a log handler may fail
            if not self._complained:
                self._complained = True
                _log.warning(
                    "The instrumentation of pool %r failed (%s: %s); the application is not affected, but some figures are."
                    " This is said once; ha_pool_listener_errors_total counts on.",
                    self.name, type(error).__name__, error, exc_info=error,
                )  # fmt: skip
            self.count(metrics.LISTENER_ERRORS)

    def _new_slot(self) -> Slot:
        slot = self._shared.slot(self) if self._shared else Slot(self)
        self._slots.append(slot)
        return slot

    def _bury(self) -> None:
        """Make the slots of records that are gone available to new ones; the caller holds the lock."""
        while self._dead:
            slot = self._dead.pop()
            if slot.open:
                self.count(metrics.CLOSES, metrics.Close.LOST.value)
            slot.clear()
            self._spare.append(slot)


class _Observations:
    """A histogram that is filled under a lock."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds


def _burial(dead: list[Slot], slot: Slot) -> Callable[[object], None]:
    """What to do when a record dies. It may die anywhere, so nothing is done but noting it, which needs no lock."""

    def note(_: object) -> None:
        dead.append(slot)

    return note
