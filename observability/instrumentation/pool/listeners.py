"""What SQLAlchemy's events tell: the rare ones only, as a listener for checkout, checkin or reset would cost each request."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from sqlalchemy import event
from sqlalchemy.pool import NullPool, QueuePool

from observability.instrumentation.pool import metrics
from observability.instrumentation.pool.metrics import Close
from observability.instrumentation.pool.reasons import READ_ONLY, invalidation, sqlstate
from observability.instrumentation.pool.slot import nobody
from observability.instrumentation.pool.state import pool_of

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine, ExceptionContext
    from sqlalchemy.pool import ConnectionPoolEntry

    from observability.instrumentation.pool.monitor import PoolMonitor
    from observability.instrumentation.pool.slot import Slot

Listener = TypeVar("Listener", bound=Callable[..., None])


def _guarded(listener: Listener) -> Listener:
    """A listener whose errors stay here."""

    @wraps(listener)
    def guarded(self: Listeners, *args: Any, **kwargs: Any) -> None:
        try:
            listener(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 -- a border: what a listener raises would reach the application
            self.ledger.broke(error)

    return cast("Listener", guarded)


class Listeners:
    """The listeners of one pool. They are attached to the engine, which hands them on to each new pool."""

    def __init__(self, monitor: PoolMonitor, database_error: type[BaseException]) -> None:
        self.monitor = monitor
        self.ledger = monitor.ledger
        self.database_error = database_error
        # Bound once, as SQLAlchemy finds a listener by its identity when it is to be removed.
        self._bound: Final = tuple(
            (event_name, getattr(self, event_name)) for event_name in (
                "connect", "close", "invalidate", "soft_invalidate", "detach", "close_detached", "handle_error",
            )
        )  # fmt: skip

    def attach(self, engine: Engine) -> None:
        """Listen to an engine."""
        for event_name, listener in self._bound:
            # First, so that the time to connect is without what other listeners do with the connection.
            event.listen(engine, event_name, listener, insert=True)

    def remove(self, engine: Engine) -> None:
        """Listen to the engine no longer."""
        for event_name, listener in self._bound:
            if event.contains(engine, event_name, listener):
                event.remove(engine, event_name, listener)

    @_guarded
    def connect(self, _: object, record: ConnectionPoolEntry) -> None:
        """A connection was opened."""
        slot = self.ledger.slot(record)
        if slot.open:
            # The last one was closed without a word, because setting it up had failed.
            self.ledger.count(metrics.CLOSES, Close.LOST)
        slot.open, slot.proxy = True, nobody
        self.ledger.count(metrics.CONNECTS)
        # SQLAlchemy notes the start by the wall clock, which may be set back while the connection is opened.
        self.ledger.created(max(0.0, time.time() - record.starttime))  # type: ignore[attr-defined]
        self.monitor.look(slot, record)

    @_guarded
    def close(self, _: object, record: ConnectionPoolEntry) -> None:
        """A connection is going to be closed by its pool."""
        slot = self.ledger.slot(record)
        self.ledger.count(metrics.CLOSES, _close_reason(slot, record))
        slot.open = False

    @_guarded
    def invalidate(self, _: object, record: ConnectionPoolEntry, error: BaseException | None) -> None:
        """A connection is unusable and going to be closed."""
        reason = invalidation(error, self.database_error)
        self.ledger.slot(record).invalidated = True
        self.ledger.count(metrics.INVALIDATIONS, "hard", reason)
        if reason is metrics.Invalidation.PRE_PING:
            self.ledger.count(metrics.PRE_PING_FAILURES)

    @_guarded
    def soft_invalidate(self, _: object, __: ConnectionPoolEntry, error: BaseException | None) -> None:
        """A connection is going to be replaced before its next use."""
        self.ledger.count(metrics.INVALIDATIONS, "soft", invalidation(error, self.database_error))

    @_guarded
    def detach(self, connection: object, record: ConnectionPoolEntry) -> None:
        """A connection has left the pool."""
        slot = self.ledger.slot(record)
        slot.open = False
        self.ledger.detached(connection, slot.proxy)

    @_guarded
    def close_detached(self, connection: object) -> None:
        """A connection that had left the pool is going to be closed."""
        self.ledger.closed_detached(connection)

    @_guarded
    def handle_error(self, context: ExceptionContext) -> None:
        """A statement failed. What `Engine.connect` could not open is noted where it is waited for."""
        if context.connection is None or not isinstance(context.original_exception, Exception):
            return
        if context.is_disconnect:
            self.ledger.count(metrics.DISCONNECTS)
        elif sqlstate(context.original_exception) == READ_ONLY:
            self.ledger.count(metrics.READ_ONLY_ERRORS)


def _close_reason(slot: Slot, record: ConnectionPoolEntry) -> Close:
    if slot.invalidated:
        slot.invalidated = False
        return Close.INVALIDATED
    pool: Any = pool_of(record)
    if isinstance(pool, NullPool):
        return Close.UNPOOLED
    if getattr(pool, "ha_disposing", False):
        return Close.DISPOSED
    if isinstance(pool, QueuePool) and pool.checkedin() >= pool.size() > 0:
        return Close.OVERFLOW
    started = getattr(record, "starttime", 0.0)
    if max(getattr(pool, "_invalidate_time", 0.0), getattr(record, "_soft_invalidate_time", 0.0)) > started:
        return Close.INVALIDATED
    if -1 < getattr(pool, "_recycle", -1) < time.time() - started:
        return Close.RECYCLED
    return Close.OVERFLOW
