"""
A subclass of each class of pool that notes what is handed out and what comes back.

No event of SQLAlchemy tells of waiting, timeouts or failures, so the public `Pool.connect()` is overridden: every way to a
connection leads through it. The override of `_do_return_conn()` does what listeners for checkin and detach would do at
a third of their cost. An existing pool changes its class, so everything that was attached to it stays, and `recreate()`
gives the successor the same class, so `dispose()` cannot lose it.
"""

# ruff: noqa: SLF001 -- the private names this file relies on are pinned by a contract test
from __future__ import annotations

import weakref
from bisect import bisect_left
from functools import cache
from random import random
from time import perf_counter
from typing import TYPE_CHECKING, Any

from sqlalchemy.pool import Pool, SingletonThreadPool, StaticPool

from observability.instrumentation.pool.metrics import QUICK, USE_BUCKETS, WAIT_BUCKETS
from observability.instrumentation.pool.places import place

if TYPE_CHECKING:
    from observability.instrumentation.pool.monitor import PoolMonitor
    from observability.instrumentation.pool.slot import Slot


class Watched:
    """Marks a class that was made here; `ha_original` is the class that it was made from."""

    __slots__ = ()  # so that a pool keeps the memory layout of its own class

    ha_original: Any
    ha_monitor: PoolMonitor
    ha_disposing = False


def follow(pool: Any, monitor: PoolMonitor) -> None:
    """Let a pool tell a monitor what it hands out and gets back."""
    original: Any = pool.ha_original if isinstance(pool, Watched) else type(pool)
    pool.ha_monitor = monitor
    pool.__class__ = _watched(original, debug=monitor.debug > 0)


def leave(pool: Any) -> None:
    """Give a pool its own class again. It keeps its monitor, as threads may still be on their way through it."""
    if isinstance(pool, Watched):
        pool.__class__ = pool.ha_original


def monitor_of(pool: Any) -> PoolMonitor | None:
    """The monitor that a pool tells, None if it has none."""
    return pool.ha_monitor if isinstance(pool, Watched) else None


@cache
def _watched(original: Any, *, debug: bool) -> Any:
    """The subclass of a pool class that tells its monitor what happens."""
    connect = _connect_shared(original) if issubclass(original, StaticPool) else _connect(original)
    if debug:
        connect = _placed(connect)
    if issubclass(original, SingletonThreadPool):
        connect = _connect_once(original, connect)
    do_return = _return(original)
    members = {
        "ha_original": original,
        "connect": connect,
        # A connection is returned through the first, which only calls the second, and detached through the second.
        "_return_conn": do_return if original._return_conn is Pool._return_conn else original._return_conn,
        "_do_return_conn": do_return,
        "recreate": _recreate(original),
        "dispose": _dispose(original),
        # SQLAlchemy's loggers have the name of the class.
        "__module__": original.__module__,
        "__qualname__": original.__qualname__,
        "__doc__": original.__doc__,
    }
    return type(original.__name__, (original, Watched), members)


def _connect(original: type[Pool]) -> Any:
    connect = original.connect

    def connect_and_note(self: Any) -> Any:
        began = perf_counter()
        try:
            proxy = connect(self)
        except BaseException as error:
            _failed(self, error, began)
            raise
        try:
            taken = perf_counter()
            record = proxy._connection_record
            try:
                slot = record.ha_slot
            except AttributeError:
                slot = self.ha_monitor.ledger.slot(record)
            slot.taken = taken
            slot.proxy = record.fairy_ref
            waited = taken - began
            slot.waited += waited
            if waited <= QUICK:  # as nearly all are: a comparison costs less than a search
                slot.quick += 1
            else:
                slot.waits[bisect_left(WAIT_BUCKETS, waited)] += 1
        except Exception as error:  # noqa: BLE001 -- a border: the application must get its connection
            self.ha_monitor.ledger.broke(error)
        return proxy

    return connect_and_note


def _return(original: type[Pool]) -> Any:
    do_return = original._do_return_conn

    def note_and_return(self: Any, record: Any) -> None:
        try:
            slot = record.ha_slot
            taken = slot.taken
            # A record also comes back without having been handed out: when it could not be reconnected.
            if taken:
                now = perf_counter()
                used = now - taken
                slot.taken = 0.0
                slot.used += used
                slot.uses[bisect_left(USE_BUCKETS, used)] += 1
                if slot.proxy() is None:
                    slot.collected += 1
                if now >= slot.look_at:
                    self.ha_monitor.look(slot, record)
            else:
                self.ha_monitor.ledger.returned_unnoticed(slot, record)
        except Exception as error:  # noqa: BLE001 -- a border: the connection must get back into the pool
            self.ha_monitor.ledger.broke(error)
        do_return(self, record)

    return note_and_return


def _connect_once(original: type[Pool], connect_and_note: Any) -> Any:
    """Within a thread that already holds its connection, asking again hands out nothing."""
    connect = original.connect

    def connect_once(self: Any) -> Any:
        held = getattr(getattr(self, "_fairy", None), "current", None)
        return connect(self) if held is not None and held() is not None else connect_and_note(self)

    return connect_once


def _connect_shared(original: type[Pool]) -> Any:
    """Several hold the one connection at a time, so they write under a lock, and each is remembered for itself."""
    connect = original.connect

    def connect_and_share(self: Any) -> Any:
        began = perf_counter()
        try:
            proxy = connect(self)
        except BaseException as error:
            _failed(self, error, began)
            raise
        try:
            self.ha_monitor.ledger.shared(proxy._connection_record, weakref.ref(proxy), began, perf_counter())
        except Exception as error:  # noqa: BLE001 -- a border: the application must get its connection
            self.ha_monitor.ledger.broke(error)
        return proxy

    return connect_and_share


def _placed(connect: Any) -> Any:
    def connect_and_place(self: Any) -> Any:
        proxy = connect(self)
        try:
            slot: Slot = proxy._connection_record.ha_slot
            slot.place = place() if random() < self.ha_monitor.debug else ()  # noqa: S311 -- a sample, no secret
        except Exception as error:  # noqa: BLE001 -- a border: the application must get its connection
            self.ha_monitor.ledger.broke(error)
        return proxy

    return connect_and_place


def _recreate(original: type[Pool]) -> Any:
    recreate = original.recreate

    def recreate_watched(self: Any) -> Pool:
        successor = recreate(self)
        try:
            follow(successor, self.ha_monitor)
        except Exception as error:  # noqa: BLE001 -- a border: the engine must get its new pool
            self.ha_monitor.ledger.broke(error)
        return successor

    return recreate_watched


def _dispose(original: type[Pool]) -> Any:
    dispose = original.dispose

    def dispose_watched(self: Any) -> None:
        self.ha_disposing = True
        dispose(self)

    return dispose_watched


def _failed(pool: Any, error: BaseException, began: float) -> None:
    ledger = pool.ha_monitor.ledger
    try:
        ledger.failed(error, perf_counter() - began)
    except Exception as problem:  # noqa: BLE001 -- a border: the application must see its own error
        ledger.broke(problem)
