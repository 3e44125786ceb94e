"""
What a pool is like at this moment, read from the pool that the engine has now.

Where SQLAlchemy has no public way to a figure, its private attribute is read; if a version lacks it, the figure is absent.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy.pool import (
    AssertionPool,
    AsyncAdaptedQueuePool,
    NullPool,
    Pool,
    QueuePool,
    StaticPool,
)

from observability.instrumentation.pool.slot import FOREVER, Node, Slot, nobody

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.pool import ConnectionPoolEntry


class State(NamedTuple):
    """Figures of one moment; None is unknown, or does not exist for this class of pool."""

    used: int
    idle: int
    disposed: int
    opening: int | None
    overflow: int | None
    capacity: int | None
    idle_capacity: int | None
    waiting: int | None
    oldest_seconds: float | None
    nodes: dict[Node, int]


def read(pool: Pool, slots: Iterable[tuple[Slot, ConnectionPoolEntry]]) -> State:
    """The state of the live pool of an engine, and of what earlier pools of the engine have left open."""
    used = idle = disposed = out = 0
    oldest = FOREVER
    nodes: dict[Node, int] = {}
    for slot, record in slots:
        since = _since(slot, record)
        oldest = min(oldest, since)
        live = pool_of(record, pool) is pool
        out += live and since < FOREVER
        if record.dbapi_connection is None:
            continue
        nodes[slot.node] = nodes.get(slot.node, 0) + 1
        if not live:
            disposed += 1
        elif since < FOREVER:
            used += 1
        elif slot.proxy is not nobody:  # else it is still being set up for its first user
            idle += 1
    capacity, idle_capacity = _limits(pool)
    return State(
        used=used,
        idle=idle,
        disposed=disposed,
        opening=max(0, _places_taken(pool) - out) if isinstance(pool, QueuePool) else None,
        overflow=max(0, pool.overflow()) if isinstance(pool, QueuePool) and pool.size() else None,
        capacity=capacity,
        idle_capacity=idle_capacity,
        waiting=_waiting(pool),
        oldest_seconds=None if oldest == FOREVER else max(0.0, perf_counter() - oldest),
        nodes=nodes,
    )


def pool_of(record: ConnectionPoolEntry, default: Pool | None = None) -> Pool | None:
    """The pool that a record belongs to."""
    return getattr(record, "_ConnectionRecord__pool", default)


def records_of(pool: Pool, *, has_connected: bool) -> list[ConnectionPoolEntry]:
    """The records that a pool has already, those included that are handed out."""
    if isinstance(pool, QueuePool):
        if _places_taken(pool) > 0:
            return _referring(pool)
        queue = getattr(pool, "_pool", None)
        return list(getattr(_asyncio_queue(pool), "_queue", None) or getattr(queue, "queue", None) or ())
    return _referring(pool) if has_connected else []


def out_since(slot: Slot, record: ConnectionPoolEntry) -> list[float]:
    """When the connection was handed out to each who has it now; where that is unknown, when it was first seen out."""
    if slot.users:
        return [taken for _, taken in slot.users_now()]
    since = _since(slot, record)
    return [since] if since < FOREVER else []


def _since(slot: Slot, record: ConnectionPoolEntry) -> float:
    """When the connection was handed out, `FOREVER` if it was not."""
    if slot.users:
        return min((taken for _, taken in slot.users_now()), default=FOREVER)
    return (slot.taken or slot.adopted or perf_counter()) if record.in_use else FOREVER


def _limits(pool: Pool) -> tuple[int | None, int | None]:
    """How many connections the pool allows, and how many of them may be idle."""
    if isinstance(pool, QueuePool):
        size = pool.size()
        beyond = getattr(pool, "_max_overflow", -1)
        return (None if beyond < 0 or not size else size + beyond), size or None
    if isinstance(pool, NullPool):
        return None, 0
    if isinstance(pool, StaticPool | AssertionPool):
        return 1, 1
    return None, None


def _waiting(pool: Pool) -> int | None:
    """How many wait in the pool's queue."""
    queue: Any = getattr(pool, "_pool", None)
    if not isinstance(pool, QueuePool) or queue is None:
        return None
    if isinstance(pool, AsyncAdaptedQueuePool):
        lazy = _asyncio_queue(pool)
        waiters = () if lazy is None else getattr(lazy, "_getters", None)
    else:
        waiters = getattr(getattr(queue, "not_empty", None), "_waiters", None)
    return None if waiters is None else len(waiters)


def _places_taken(pool: QueuePool) -> int:
    """How many places are taken: by those who hold a connection, and by those for whom one is being opened."""
    # Asking a pool for asyncio that was never used would make its queue, perhaps while its event loop does the same.
    unused = isinstance(pool, AsyncAdaptedQueuePool) and _asyncio_queue(pool) is None
    return 0 if unused else pool.checkedout()


def _asyncio_queue(pool: Pool) -> object:
    """The queue of a pool for asyncio; SQLAlchemy makes it when it is first needed, so before that nobody has waited."""
    # Only here: to look at the `__dict__` of an object makes Python slower in using it ever after.
    return vars(getattr(pool, "_pool", None)).get("_queue") if isinstance(pool, AsyncAdaptedQueuePool) else None


def _referring(pool: Pool) -> list[ConnectionPoolEntry]:
    """The records that refer to a pool: the pool itself does not know what it has handed out."""
    import gc

    from sqlalchemy.pool import ConnectionPoolEntry

    return [each for each in gc.get_referrers(pool) if isinstance(each, ConnectionPoolEntry)]
