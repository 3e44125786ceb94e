"""
Every class of pool and everything that can happen to its connections, on every driver, compared with the truth.

A scenario tells the rig's truth what must have been counted; the rig keeps what it does itself, and compares.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import event, exc
from sqlalchemy.pool import (
    AssertionPool,
    AsyncAdaptedQueuePool,
    NullPool,
    Pool,
    QueuePool,
    SingletonThreadPool,
    StaticPool,
)

from tests.live.instrumentation.conftest import PostgresDatabase
from tests.live.instrumentation.rig import OVERFLOW, SIZE, Rig

SYNC = ("sqlite", "postgresql+psycopg")
ASYNC = ("sqlite+aiosqlite", "postgresql+asyncpg", "postgresql+psycopg_async")
CLASSES: dict[str, tuple[type[Pool], ...]] = {
    **dict.fromkeys(SYNC, (QueuePool, NullPool, StaticPool, SingletonThreadPool, AssertionPool)),
    **dict.fromkeys(ASYNC, (AsyncAdaptedQueuePool, NullPool, StaticPool, AssertionPool)),
}
QUEUES = (QueuePool, AsyncAdaptedQueuePool)
KEEPING = (*QUEUES, StaticPool, SingletonThreadPool, AssertionPool)
SEVERAL = (*QUEUES, NullPool)


def closed_on_return(rig: Rig, times: int = 1) -> None:
    """What is not pooled is closed when it comes back."""
    if rig.pool_class is NullPool:
        rig.truth.closes["unpooled"] += times


async def used_once(rig: Rig) -> None:
    """A connection is taken and given back."""
    connection = await rig.take()
    await rig.check(used=1)
    await rig.give(connection)
    closed_on_return(rig)


async def used_again(rig: Rig) -> None:
    """A connection is taken twice, one time after the other."""
    for _ in range(2):
        await rig.give(await rig.take())
        closed_on_return(rig)
    assert rig.truth.connects == (2 if rig.pool_class is NullPool else 1)


async def two_at_once(rig: Rig) -> None:
    """Two connections are out at the same time."""
    both = [await rig.take(), await rig.take()]
    await rig.check(used=2)
    for connection in both:
        await rig.give(connection)
        closed_on_return(rig)


async def overflow(rig: Rig) -> None:
    """Every connection is taken; what does not fit into the pool afterwards is closed."""
    connections = [await rig.take() for _ in range(SIZE + OVERFLOW)]
    await rig.check(used=SIZE + OVERFLOW)
    for connection in connections:
        await rig.give(connection)
    rig.truth.closes["overflow"] += OVERFLOW


async def timed_out(rig: Rig) -> None:
    """Somebody waits for a connection until the pool gives up."""
    connections = [await rig.take() for _ in range(SIZE + OVERFLOW)]
    with pytest.raises(exc.TimeoutError):
        await rig.take()
    rig.truth.timeouts += 1
    await rig.check(used=SIZE + OVERFLOW)
    for connection in connections:
        await rig.give(connection)
    rig.truth.closes["overflow"] += OVERFLOW


async def shared(rig: Rig) -> None:
    """Two hold the one connection of the pool; it is used until both have given it back."""
    first, second = await rig.take(), await rig.take()
    await rig.check(used=1)
    await rig.give(first)
    await rig.check(used=1)
    await rig.give(second)


async def nested(rig: Rig) -> None:
    """A thread that holds its connection asks again and gets the same."""
    outer, inner = await rig.take(), await rig.take()
    rig.truth.checkouts -= 1
    await rig.give(inner, returns=False)
    await rig.check(used=1)
    await rig.give(outer)


async def second_refused(rig: Rig) -> None:
    """A pool of one connection refuses the second user at once."""
    connection = await rig.take()
    with pytest.raises(AssertionError):
        await rig.take()
    rig.truth.failures["error"] += 1
    await rig.check(used=1)
    await rig.give(connection)


async def invalidated(rig: Rig) -> None:
    """A connection is declared unusable while it is out; the next user gets a new one."""
    connection = await rig.take()
    await rig.invalidate(connection)
    await rig.check(used=0)
    await rig.give(connection, returns=False)
    await used_once(rig)
    assert rig.truth.connects == 2


async def softly_invalidated(rig: Rig) -> None:
    """A connection is to be replaced before its next use."""
    connection = await rig.take()
    await rig.invalidate_softly(connection)
    await rig.check(used=1)
    old = (await rig.raw(connection)).driver_connection
    await rig.give(connection)
    closed_on_return(rig)
    again = await rig.take()
    if rig.pool_class is StaticPool:
        # It lets go of the old one without closing it.
        del connection
        gc.collect()
        rig.truth.closes["lost"] += 1
        await rig.end(old)
    elif rig.pool_class is not NullPool:
        rig.truth.closes["invalidated"] += 1
    await rig.check(used=1)
    await rig.give(again)
    closed_on_return(rig)


async def recycled(rig: Rig) -> None:
    """A connection is too old to be used again."""
    rig.sync_engine.pool._recycle = 60
    await rig.give(await rig.take())
    for _, record in rig.monitor.ledger.slots():
        record.starttime -= 61  # type: ignore[attr-defined]
    await rig.give(await rig.take())
    rig.truth.closes["recycled"] += 1


async def detached(rig: Rig) -> None:
    """A connection leaves the pool and is closed later."""
    connection = await rig.take()
    driver_connection = (await rig.raw(connection)).driver_connection
    await rig.detach(connection)
    await rig.check(used=0, detached=1)
    await rig.give(connection, returns=False)
    if rig.drops:
        await rig.end(driver_connection)
    await rig.check(used=0, detached=0)
    await used_once(rig)


async def forgotten(rig: Rig) -> None:
    """Nobody gives the connection back: the garbage collector finds it."""
    connection = await rig.take()
    driver_connection = (await rig.raw(connection)).driver_connection
    rig.truth.collected += 1
    if not rig.is_async:
        del connection
        gc.collect()
        rig.truth.checkins += 1
        closed_on_return(rig)
        return
    with pytest.warns(exc.SAWarning, match="garbage collector"):  # noqa: PT031 -- either may be what warns
        del connection
        gc.collect()
    # The garbage collector cannot wait for a rollback, so SQLAlchemy takes the connection out of the pool and ends it.
    rig.truth.detached += 1
    if rig.drops:
        await rig.end(driver_connection)


async def disposed_while_idle(rig: Rig) -> None:
    """The pool is disposed of with a connection in it."""
    await rig.give(await rig.take())
    closed_on_return(rig)
    await rig.dispose()
    if rig.pool_class is not NullPool:
        rig.truth.closes["disposed"] += 1
    await rig.check()
    await used_once(rig)


async def disposed_while_out(rig: Rig) -> None:
    """The pool is disposed of while a connection is out, which comes back to the old pool and dies with it."""
    connection = await rig.take()
    await rig.dispose()
    await rig.check(used=0, disposed=1)
    new = await rig.take()
    await rig.check(used=1, disposed=1)
    await rig.give(new)
    closed_on_return(rig)
    await rig.give(connection)
    closed_on_return(rig)
    if rig.queues:
        await rig.check(disposed=1)
        # Idle in a pool that nobody has any more; closed here, so that the driver does not complain of it.
        (record,) = [record for _, record in rig.monitor.ledger.slots() if not _is_live(rig, record)]
        await rig.close_record(record)
        rig.truth.closes["disposed"] += 1
        del record
    del connection
    gc.collect()


async def listener_disconnects(rig: Rig) -> None:
    """A listener of the application finds the connection unusable when it is handed out; it is replaced."""
    complaints = [exc.DisconnectionError("not this one")]

    def complain(*_: object) -> None:
        if complaints:
            raise complaints.pop()

    event.listen(rig.sync_engine, "checkout", complain)
    connection = await rig.take()
    rig.truth.invalidations["hard", "disconnect"] += 1
    rig.truth.closes["invalidated"] += 1
    await rig.check(used=1)
    await rig.give(connection)
    closed_on_return(rig)
    assert rig.truth.connects == 2


async def set_up_fails(rig: Rig) -> None:
    """A listener of the application cannot set up the new connection: it is closed again, and nobody gets it."""

    def fail(*_: object) -> None:
        raise RuntimeError("no such role")

    event.listen(rig.sync_engine, "connect", fail)
    with pytest.raises(RuntimeError):
        await rig.take()
    event.remove(rig.sync_engine, "connect", fail)
    gc.collect()
    rig.truth.failures["error"] += 1
    rig.truth.closes["lost"] += 1
    await rig.check()
    await used_once(rig)


async def cannot_connect(rig: Rig) -> None:
    """Nothing can be opened, and then it can again."""
    rig.connect_error = ConnectionRefusedError(111, "Connection refused")
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            await rig.take()
        rig.truth.failures["refused"] += 1
    await rig.check()
    rig.connect_error = None
    await used_once(rig)


async def cannot_reconnect(rig: Rig) -> None:
    """A place in the pool whose connection is gone gets no new one: SQLAlchemy returns what it never handed out."""
    connection = await rig.take()
    await rig.invalidate(connection)
    await rig.give(connection, returns=False)
    rig.connect_error = ConnectionRefusedError(111, "Connection refused")
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            await rig.take()
        rig.truth.failures["refused"] += 1
    await rig.check()
    rig.connect_error = None
    await used_once(rig)


Scenario = Callable[[Rig], Awaitable[None]]
TABLE: tuple[tuple[Scenario, tuple[type[Pool], ...]], ...] = (
    (used_once, (*KEEPING, NullPool)),
    (used_again, (*KEEPING, NullPool)),
    (two_at_once, SEVERAL),
    (overflow, QUEUES),
    (timed_out, QUEUES),
    (shared, (StaticPool,)),
    (nested, (SingletonThreadPool,)),
    (second_refused, (AssertionPool,)),
    (invalidated, (*KEEPING, NullPool)),
    (softly_invalidated, (*KEEPING, NullPool)),
    (recycled, KEEPING),
    (detached, (*KEEPING, NullPool)),
    (forgotten, (*QUEUES, NullPool, AssertionPool)),
    (disposed_while_idle, (*KEEPING, NullPool)),
    (disposed_while_out, SEVERAL),
    (listener_disconnects, (*KEEPING, NullPool)),
    (set_up_fails, (*KEEPING, NullPool)),
    (cannot_connect, (*KEEPING, NullPool)),
    (cannot_reconnect, (*QUEUES, StaticPool, SingletonThreadPool, AssertionPool)),
)


@pytest.mark.parametrize(
    ("scenario", "driver", "pool_class"),
    [
        pytest.param(scenario, driver, pool_class, id=f"{scenario.__name__}-{pool_class.__name__}-{driver}")
        for scenario, applies_to in TABLE
        for driver, classes in CLASSES.items()
        for pool_class in classes
        if pool_class in applies_to
    ],
)
async def test_what_is_told_is_true(
    make_rig: Callable[..., Rig], scenario: Scenario, driver: str, pool_class: type[Pool]
) -> None:
    """Whatever happened, every figure equals the truth, and the gauges equal what the database has."""
    rig = make_rig(driver, pool_class)
    await rig.check()
    await scenario(rig)
    await rig.check()


@pytest.mark.parametrize("driver", ["postgresql+psycopg", "postgresql+asyncpg", "postgresql+psycopg_async"])
class TestServer:
    """What only a server can do to its clients."""

    @staticmethod
    def rig(make_rig: Callable[..., Rig], driver: str, **options: Any) -> tuple[Rig, PostgresDatabase]:
        """A rig on a queue pool."""
        rig = make_rig(driver, QueuePool if driver == "postgresql+psycopg" else AsyncAdaptedQueuePool, **options)
        assert isinstance(rig.database, PostgresDatabase)
        return rig, rig.database

    async def test_ping_finds_a_dead_connection(self, make_rig: Callable[..., Rig], driver: str) -> None:
        """The test before use replaces a connection that the server has ended, and the others on their next use."""
        rig, server = self.rig(make_rig, driver, pool_pre_ping=True)
        both = [await rig.take(), await rig.take()]
        for connection in both:
            await rig.give(connection)
        server.kill_all()
        both = [await rig.take(), await rig.take()]
        rig.truth.pre_ping_failures += 1
        rig.truth.invalidations["hard", "pre_ping"] += 1
        rig.truth.closes["invalidated"] += 2
        await rig.check(used=2)
        for connection in both:
            await rig.give(connection)
        await rig.check()

    async def test_statement_finds_a_dead_connection(self, make_rig: Callable[..., Rig], driver: str) -> None:
        """A statement on a connection that the server has ended fails, and all connections are replaced."""
        rig, server = self.rig(make_rig, driver)
        both = [await rig.take(), await rig.take()]
        await rig.give(both[1])
        server.kill_all()
        with pytest.raises(exc.DBAPIError):
            await rig.execute(both[0], "SELECT 1")
        rig.truth.disconnects += 1
        rig.truth.invalidations["hard", "disconnect"] += 1
        rig.truth.closes["invalidated"] += 1
        rig.truth.checkins += 1
        await rig.give(both[0], returns=False)
        assert rig.state.used == 0
        await rig.give(await rig.take())
        await rig.give(await rig.take())
        rig.truth.closes["invalidated"] += 1
        await rig.check()

    async def test_read_only_server_is_counted(self, make_rig: Callable[..., Rig], driver: str) -> None:
        """A write that is refused with SQLSTATE 25006 is counted, and the connection stays."""
        rig, _ = self.rig(make_rig, driver)
        connection = await rig.take()
        await rig.execute(connection, "SET TRANSACTION READ ONLY")
        with pytest.raises(exc.DBAPIError):
            await rig.execute(connection, "CREATE TABLE refused (id int)")
        rig.truth.read_only_errors += 1
        await rig.check(used=1)
        await rig.give(connection)
        await rig.check()

    async def test_other_errors_are_not_disconnects(self, make_rig: Callable[..., Rig], driver: str) -> None:
        """A statement that is wrong says nothing about the connection."""
        rig, _ = self.rig(make_rig, driver)
        connection = await rig.take()
        with pytest.raises(exc.DBAPIError):
            await rig.execute(connection, "SELECT nonsense")
        await rig.give(connection)
        await rig.check()


@pytest.mark.parametrize("driver", ["postgresql+asyncpg", "postgresql+psycopg_async"])
class TestCancellation:
    """Tasks that are cancelled, as those of clients that went away."""

    async def test_while_waiting(self, make_rig: Callable[..., Rig], driver: str) -> None:
        """A task that is cancelled while it waits for a connection is counted, and waits no longer."""
        rig = make_rig(driver, AsyncAdaptedQueuePool, pool_timeout=30)
        connections = [await rig.take() for _ in range(SIZE + OVERFLOW)]
        waiter = asyncio.create_task(rig.engine.connect().__aenter__())
        while rig.state.waiting != 1:  # noqa: ASYNC110 -- nothing tells when a task has begun to wait
            await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        rig.truth.cancelled += 1
        await rig.check(used=SIZE + OVERFLOW)
        for connection in connections:
            await rig.give(connection)
        rig.truth.closes["overflow"] += OVERFLOW
        await rig.check()

    async def test_while_a_statement_runs(self, make_rig: Callable[..., Rig], driver: str) -> None:
        """A task that is cancelled in a statement costs its connection, which is told apart from a broken one."""
        rig = make_rig(driver, AsyncAdaptedQueuePool)
        connection = await rig.take()
        running = asyncio.create_task(rig.execute(connection, "SELECT pg_sleep(30)"))
        assert isinstance(rig.database, PostgresDatabase)
        while not rig.database.running("pg_sleep"):  # noqa: ASYNC110 -- only the server tells
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        rig.truth.invalidations["hard", "cancelled"] += 1
        rig.truth.closes["invalidated"] += 1
        rig.truth.checkins += 1
        await rig.give(connection, returns=False)
        await rig.check()


def _is_live(rig: Rig, record: Any) -> bool:
    return record._ConnectionRecord__pool is rig.sync_engine.pool
