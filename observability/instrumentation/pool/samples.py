"""From what was counted and what is read to samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.pool import StaticPool

from observability.instrumentation.pool import metrics
from observability.instrumentation.pool.slot import UNKNOWN_NODE
from observability.instrumentation.pool.state import State, read
from observability.metrics import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.pool import Pool

    from observability.instrumentation.pool.ledger import Ledger, Totals


def samples(pool: Pool, ledger: Ledger) -> list[Sample]:
    """The samples of one pool at this moment."""
    name = ledger.name
    state = read(pool, ledger.slots())
    found = list(_gauges(name, state))
    found.append(Sample(metrics.DETACHED_OPEN, ledger.detached_open(), (name,)))
    # Those who share one connection do not return it: it is returned once, by one of them.
    found += _counted(name, ledger.totals(), returns=not isinstance(pool, StaticPool))
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


def _counted(name: str, totals: Totals, *, returns: bool) -> Iterator[Sample]:
    yield Sample(metrics.WAIT_TIME, totals.waits, (name,))
    yield Sample(metrics.CREATE_TIME, totals.creates, (name,))
    yield Sample(metrics.CHECKOUTS, totals.checkouts, (name,))
    if returns:
        yield Sample(metrics.USE_TIME, totals.uses, (name,))
        yield Sample(metrics.CHECKINS, totals.checkins, (name,))
        yield Sample(metrics.COLLECTED, totals.collected, (name,))
    for (metric, labels), number in totals.counts.items():
        yield Sample(metric, number, (name, *labels))
