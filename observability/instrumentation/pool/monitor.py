"""Attach to an engine's pool, tell what it does, and let go of it."""

from __future__ import annotations

import weakref
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy.pool import StaticPool

from observability.errors import InstrumentationError
from observability.instrumentation import registry
from observability.instrumentation.pool import metrics, servers
from observability.instrumentation.pool.classes import follow, leave, monitor_of
from observability.instrumentation.pool.ledger import Ledger
from observability.instrumentation.pool.listeners import Listeners
from observability.instrumentation.pool.samples import samples
from observability.instrumentation.pool.slot import FOREVER, Slot, somebody
from observability.instrumentation.pool.state import State, out_since, read, records_of
from observability.metrics import Batch, Metric

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine
    from sqlalchemy.pool import ConnectionPoolEntry

    from observability.instrumentation.workers.cells import Cells

LOOK_SECONDS = 1.0
"""A connection's server is asked for its role no more often than this."""


class Holders(NamedTuple):
    """Connections that are out now and were taken at the same place, and how long the oldest of them has been."""

    place: tuple[str, ...]
    connections: int
    oldest_seconds: float


class PoolMonitor:
    """What `instrument` gives: the figures of one engine's pool, and the way to let go of it."""

    def __init__(self, engine: Engine, name: str, debug: float) -> None:
        self.ledger = Ledger(name)
        self.debug = debug
        self._engine = weakref.ref(engine)
        self._listeners = Listeners(self, _database_error(engine))

    @property
    def pool_name(self) -> str:
        """The name of the pool in every series."""
        return self.ledger.name

    @property
    def state(self) -> State | None:
        """The pool at this moment; None when its engine is gone."""
        engine = self._engine()
        return None if engine is None else read(engine.pool, self.ledger.slots())

    def collect(self) -> tuple[Batch, ...]:
        """The samples of this moment; none when the engine is gone."""
        engine = self._engine()
        if engine is None:
            return ()
        return (Batch((), samples(engine.pool, self.ledger), self.ledger.since),)

    def holders(self, limit: int = 20) -> list[Holders]:
        """Who holds connections now, the longest first; the place is empty where `debug` did not record it."""
        now = perf_counter()
        ages: dict[tuple[str, ...], list[float]] = {}
        for slot, record in self.ledger.slots():
            for taken in out_since(slot, record):
                ages.setdefault(slot.place, []).append(now - taken)
        found = [Holders(place, len(each), max(each)) for place, each in ages.items()]
        return sorted(found, key=lambda holders: -holders.oldest_seconds)[:limit]

    def uninstrument(self) -> None:
        """Let go of the engine: its pool is as if it had never been instrumented."""
        registry.discard(self)
        with registry.lock():
            engine = self._engine()
            if engine is None:
                return
            self._listeners.remove(engine)
            if monitor_of(engine.pool) is self:
                leave(engine.pool)
            self._unmark()

    def forget(self) -> None:
        """Start from nothing, as the child of a fork must: what its parent counted and holds is the parent's."""
        self._unmark()
        self.ledger.forget()

    @property
    def in_cells(self) -> frozenset[Metric]:
        """What other workers can read by themselves, as it is counted in cells."""
        return frozenset(metrics.METRICS) if self.ledger.in_cells else frozenset()

    def count_in(self, cells: Cells) -> None:
        """Count in cells from now on, unless something was counted already."""
        engine = self._engine()
        if engine is not None:
            # Those who share one connection do not return it: it is returned once, by one of them.
            self.ledger.count_in(cells, returns=not isinstance(engine.pool, StaticPool))

    def look(self, slot: Slot, record: ConnectionPoolEntry) -> None:
        """Note which server a connection leads to; only its holder may."""
        slot.look_at = FOREVER
        if record.dbapi_connection is None:
            return
        found = servers.node(record)
        if found:
            slot.node = found
            slot.look_at = perf_counter() + LOOK_SECONDS

    def attach(self) -> None:
        """Listen to the engine, follow its pool, and take over the connections that it has already."""
        engine = self._engine()
        if engine is None:
            return
        pool = engine.pool
        registry.offer_cells(self)
        self._listeners.attach(engine)
        follow(pool, self)
        for record in records_of(pool, has_connected=getattr(engine.dialect, "server_version_info", None) is not None):
            self._adopt(record)

    def _adopt(self, record: ConnectionPoolEntry) -> None:
        slot = self.ledger.slot(record)
        if record.dbapi_connection is not None and not slot.open:
            slot.open, slot.proxy = True, somebody
        if record.in_use and not slot.taken:
            slot.adopted = perf_counter()
            slot.proxy = getattr(record, "fairy_ref", slot.proxy)

    def _unmark(self) -> None:
        for _, record in self.ledger.slots():
            record.__dict__.pop("ha_slot", None)


def instrument(
    engine: Engine | AsyncEngine, pool_name: str | None = None, *, debug: bool | float = False
) -> PoolMonitor:
    """
    Tell what an engine's connection pool does, from now on and for as long as the engine lives.

    To instrument an engine again gives the same monitor, with the new name if one is given.

    Args:
        engine: of `create_engine` or `create_async_engine`.
        pool_name: the value of `db.client.connection.pool.name`; by default the engine's `pool_logging_name`, else
            `host:port/database`. A name that another pool of this process has gets a number.
        debug: note where each connection was taken, for `PoolMonitor.holders`; a number between 0 and 1 is the share of
            connections for which that is done. It costs about as much as handing out a connection does.

    Raises:
        InstrumentationError: when this cannot be done.

    """
    sync_engine = _sync_engine(engine)
    with registry.lock():
        monitor = monitor_of(sync_engine.pool)
        if monitor:
            if pool_name:
                monitor.ledger.name = _unique(pool_name, monitor)
            if debug:
                monitor.debug = float(debug)
                follow(sync_engine.pool, monitor)
            return monitor
        monitor = PoolMonitor(sync_engine, _unique(pool_name or _default_name(sync_engine)), float(debug))
        try:
            monitor.attach()
        except Exception as error:
            monitor.uninstrument()
            raise InstrumentationError(
                f"cannot instrument the {type(sync_engine.pool).__name__} of {sync_engine!r}: {type(error).__name__}: {error}"
            ) from error
        registry.add(monitor)
        return monitor


def _sync_engine(engine: Any) -> Engine:
    """The engine that has the pool."""
    from sqlalchemy.engine import Engine

    found = getattr(engine, "sync_engine", engine)
    while isinstance(found, Engine) and hasattr(found, "_proxied"):
        # `Engine.execution_options` gives an engine that only points to the one with the pool.
        found = found._proxied  # noqa: SLF001
    if not isinstance(found, Engine) or not hasattr(found, "pool"):
        raise InstrumentationError(
            f"instrument() needs an engine of create_engine or create_async_engine, not {type(engine).__name__}"
        )
    return found


def _default_name(engine: Engine) -> str:
    """The name that OpenTelemetry prescribes where there is none: no user, no password."""
    given = getattr(engine.pool, "logging_name", None)
    if given:
        return str(given)
    url = engine.url
    server = (url.host or url.get_backend_name()) + (f":{url.port}" if url.port else "")
    return f"{server}/{url.database}" if url.database else server


def _unique(name: str, monitor: PoolMonitor | None = None) -> str:
    """The name, with a number if another pool of this process has it."""
    taken = {each.pool_name for each in registry.known() if isinstance(each, PoolMonitor) and each is not monitor}
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}#{number}"
    return candidate


def _database_error(engine: Engine) -> type[BaseException]:
    error = getattr(getattr(engine.dialect, "dbapi", None), "Error", None)
    return error if isinstance(error, type) else OSError
