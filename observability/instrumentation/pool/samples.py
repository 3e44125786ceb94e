"""From what was counted and what is read to samples."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from sqlalchemy.pool import StaticPool

from observability.instrumentation.pool import metrics
from observability.instrumentation.pool.ledger import COUNTED
from observability.instrumentation.pool.slot import UNKNOWN_NODE
from observability.instrumentation.pool.state import State, read
from observability.metrics import Metric, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.pool import Pool

    from observability.instrumentation.pool.ledger import Ledger, Totals


_METRICS = tuple(metric for metric, _ in COUNTED)
# The class itself would be called through a function of Python.
_sample: Callable[[tuple[Metric, float, tuple[str, ...]]], Sample] = partial(tuple.__new__, Sample)


def samples(pool: Pool, ledger: Ledger) -> list[Sample]:
    """The samples of one pool at this moment."""
    name = ledger.name
    found = [
        *_gauges(name, read(pool, ledger.slots())),
        Sample(metrics.DETACHED_OPEN, ledger.detached_open(), (name,)),
    ]
    totals = ledger.totals()
    # Those who share one connection do not return it: it is returned once, by one of them.
    found += _requests(name, totals, returns=not isinstance(pool, StaticPool))
    found += map(_sample, zip(_METRICS, totals.counts.values(), _labels(name), strict=False))
    for metric, labels in list(totals.counts)[len(COUNTED) :]:
        found.append(Sample(metric, totals.counts[metric, labels], (name, *labels)))
    return found


def _gauges(name: str, state: State) -> Iterator[Sample]:
    yield Sample(metrics.COUNT, state.used, (name, "used"))
    yield Sample(metrics.COUNT, state.idle, (name, "idle"))
    yield Sample(metrics.DISPOSED, state.disposed, (name,))
    for metric, value in (
        (metrics.MAX, state.capacity),
        (metrics.IDLE_MAX, state.idle_capacity),
        (metrics.PENDING, state.waiting),
        (metrics.OVERFLOW, state.overflow),
        (metrics.OPENING, state.opening),
        (metrics.OLDEST_CHECKOUT, state.oldest_seconds),
    ):
        if value is not None:
            yield Sample(metric, value, (name,))
    for node, number in state.nodes.items():
        if node is not UNKNOWN_NODE:
            yield Sample(metrics.SERVER_CONNECTIONS, number, (name, *node))


def _requests(name: str, totals: Totals, *, returns: bool) -> Iterator[Sample]:
    yield Sample(metrics.WAIT_TIME, totals.waits, (name,))
    yield Sample(metrics.CREATE_TIME, totals.creates, (name,))
    yield Sample(metrics.CHECKOUTS, totals.checkouts, (name,))
    if returns:
        yield Sample(metrics.USE_TIME, totals.uses, (name,))
        yield Sample(metrics.CHECKINS, totals.checkins, (name,))
        yield Sample(metrics.COLLECTED, totals.collected, (name,))


@lru_cache(maxsize=1024)
def _labels(name: str) -> tuple[tuple[str, ...], ...]:
    """The labels of what is always counted: made once for a pool, not at each scrape."""
    return tuple((name, *labels) for _, labels in COUNTED)
