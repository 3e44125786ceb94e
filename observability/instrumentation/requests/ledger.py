"""
What has been counted about the requests of one or several applications of this process.

Each thread that runs an event loop counts in a `Tally` of its own, so that counting needs no lock and is exact, with the
GIL and without it; they are summed when somebody asks. Requests that are being answered now are known by themselves.
"""

from __future__ import annotations

import contextlib
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from operator import add
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast
from weakref import WeakValueDictionary

from observability.instrumentation import registry
from observability.instrumentation.own_errors import OwnErrors
from observability.instrumentation.requests import metrics
from observability.metrics import Batch, Histogram, Metric, Sample

if TYPE_CHECKING:
    from observability.instrumentation.requests.exchange import Exchange
    from observability.instrumentation.requests.socket import Socket
    from observability.instrumentation.workers.cells import Cells

Attributes: TypeAlias = tuple[tuple[str, str], ...]
Labels: TypeAlias = tuple[str, ...]
Key: TypeAlias = tuple[Metric, Labels]

_MOST_SHORTCUTS: Final = 10_000


class Observations:
    """A histogram with one writer."""

    __slots__ = ("counts", "sum")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * (buckets + 1)
        self.sum = 0.0

    def add(self, seconds: float, bounds: tuple[float, ...]) -> None:
        """Observe a value."""
        self.counts[bisect_left(bounds, seconds)] += 1
        self.sum += seconds

    def plus(self, other: Observations) -> None:
        """Take in what another one has observed."""
        self.counts = list(map(add, self.counts, other.counts))
        self.sum += other.sum


class Tallies:
    """The tallies of all threads, as many as there ever were threads at a time."""

    def __init__(self, cells: Cells | None = None, attributes: Attributes = ()) -> None:
        self._cells = cells
        self._attributes = attributes
        self._lock = threading.Lock()
        self._all: list[Tally] = []

    def mine(self) -> Tally:
        """A tally for this thread: a new one, or what a thread has left that is no more."""
        with self._lock:
            for tally in self._all:
                if not tally.thread.is_alive():
                    tally.thread = threading.current_thread()
                    return tally
            self._all.append(Tally(self._cells, self._attributes))
            return self._all[-1]

    def all(self) -> list[Tally]:
        """Every tally there is."""
        return self._all.copy()


class Tally:
    """
    What one thread has counted; `shortcuts` lead from what a request is like to its series.

    With `cells` it counts where it outlives the process, and where other workers read it.
    """

    def __init__(self, cells: Cells | None, attributes: Attributes) -> None:
        self._cells = cells
        self._attributes = attributes
        self.thread = threading.current_thread()
        self.shortcuts: dict[Any, Observations] = {}
        self.histograms: dict[Key, Observations] = {}
        self.counts: dict[Key, int] = Counter()
        if cells is not None:
            from observability.instrumentation.workers.counting import shared_counts

            self.counts = shared_counts(cells, attributes)

    def observations(self, metric: Metric, labels: Labels) -> Observations:
        """The series of a histogram; it begins when it is first asked for."""
        found = self.histograms.get((metric, labels))
        if found is None:
            found = self.histograms[metric, labels] = self._new(metric, labels)
        return found

    def _new(self, metric: Metric, labels: Labels) -> Observations:
        if self._cells is None:
            return Observations(len(metric.buckets))
        from observability.instrumentation.workers.counting import shared_observations

        return cast("Observations", shared_observations(self._cells, metric, self._attributes, labels))

    def remember(self, shortcut: Any, series: Observations) -> None:
        """Let a shortcut lead to a series; what would be one too many takes the long way each time."""
        if len(self.shortcuts) < _MOST_SHORTCUTS:
            with contextlib.suppress(TypeError):  # an endpoint need not be hashable
                self.shortcuts[shortcut] = series


class _Here(threading.local):
    """The tally of whichever thread asks."""

    def __init__(self, tallies: Tallies) -> None:
        self.tally = tallies.mine()


class Ledger:
    """What has happened in the applications that share a name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.errors = OwnErrors("requests")
        self.forget()

    def forget(self) -> None:
        """Start from nothing, as the child of a fork must."""
        self.since = time.time()
        self.live: set[Exchange] = set()
        self.sockets: set[Socket] = set()
        self._tallies = Tallies()
        self.here = _Here(self._tallies)
        self._in_cells = False

    @property
    def in_cells(self) -> frozenset[Metric]:
        """What other workers can read by themselves, as it is counted in cells."""
        return frozenset(metrics.METRICS) if self._in_cells else frozenset()

    def count_in(self, cells: Cells) -> None:
        """Count in cells from now on, unless something was counted already."""
        if not self._in_cells and not any(tally.histograms or tally.counts for tally in self._tallies.all()):
            self._in_cells = True
            self._tallies = Tallies(cells, self._attributes())
            self.here = _Here(self._tallies)

    def _attributes(self) -> Attributes:
        return (("app", self.name),) if self.name else ()

    def count(self, metric: Metric, *labels: str) -> None:
        """Count one happening."""
        self.here.tally.counts[metric, labels] += 1

    def collect(self) -> tuple[Batch, ...]:
        """The samples of this moment."""
        return (Batch(self._attributes(), list(self._samples()), self.since),)

    def _samples(self) -> Iterator[Sample]:
        histograms, counts = self._sums()
        yield from self._active(labels for metric, labels in histograms if metric is metrics.DURATION)
        yield from self._oldest()
        yield from self._open(labels for metric, labels in histograms if metric is metrics.SOCKET_DURATION)
        for (metric, labels), seen in histograms.items():
            yield Sample(metric, Histogram(tuple(seen.counts), seen.sum), labels)
        for (metric, labels), number in counts.items():
            yield Sample(metric, number, labels)
        yield self.errors.sample()

    def _sums(self) -> tuple[dict[Key, Observations], Counter[Key]]:
        histograms: dict[Key, Observations] = {}
        counts: Counter[Key] = Counter()
        # Copies: their threads go on writing.
        for tally in self._tallies.all():
            counts.update(tally.counts.copy())
            for key, seen in tally.histograms.copy().items():
                if key not in histograms:
                    histograms[key] = Observations(len(key[0].buckets))
                histograms[key].plus(seen)
        return histograms, counts

    def _active(self, ever: Iterable[Labels]) -> Iterator[Sample]:
        active = dict.fromkeys(((method, scheme) for _, method, _, _, scheme in ever), 0)
        for exchange in self.live.copy():
            labels = exchange.method_and_scheme()
            active[labels] = active.get(labels, 0) + 1
        for labels, number in active.items():
            yield Sample(metrics.ACTIVE, number, labels)

    def _oldest(self) -> Iterator[Sample]:
        began: dict[str, float] = {}
        for exchange in self.live.copy():
            route = exchange.route()
            began[route] = min(exchange.began, began.get(route, exchange.began))
        now = perf_counter()
        for route, since in began.items():
            yield Sample(metrics.OLDEST, max(0.0, now - since), (route,))

    def _open(self, ever: Iterable[Labels]) -> Iterator[Sample]:
        number = dict.fromkeys(((route, scheme) for _, route, scheme in ever), 0)
        for socket in self.sockets.copy():
            if socket.accepted:
                labels = socket.route_and_scheme()
                number[labels] = number.get(labels, 0) + 1
        for labels, each in number.items():
            yield Sample(metrics.SOCKETS, each, labels)


_ledgers: WeakValueDictionary[str, Ledger] = WeakValueDictionary()
_making = threading.Lock()


def ledger_of(name: str) -> Ledger:
    """The ledger that all applications of this name share; it lives as long as one of them does."""
    with _making:
        ledger = _ledgers.get(name)
        if ledger is None:
            ledger = _ledgers[name] = Ledger(name)
            registry.add(ledger)
        return ledger
