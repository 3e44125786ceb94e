"""
PostgreSQL is stopped and started again under load.

A gauge that adds and subtracts events goes wrong here for ever: SQLAlchemy returns a place whose connection could not be
replaced without having handed it out.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from sqlalchemy import exc, text
from sqlalchemy.pool import AsyncAdaptedQueuePool, QueuePool

from observability.lab.pairs import PostgresPair
from tests.live.instrumentation.conftest import PostgresDatabase
from tests.live.instrumentation.rig import Rig

USERS, SIZE, OVERFLOW = 20, 4, 4
OPTIONS: dict[str, Any] = {"pool_size": SIZE, "max_overflow": OVERFLOW, "pool_timeout": 1}
ERRORS = (exc.SQLAlchemyError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""What a user may meet; errors of asyncpg's connect reach the user as they are."""
OUTAGE = {"refused", "stopping", "starting", "closed", "hung"}
"""What a connect may meet while a server goes down and comes up."""


class Load:
    """Users of a rig until they are told to stop, and what they hold."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.held: set[Any] = set()
        self.on_the_way = 0
        self.served = self.failed = 0
        self.enough = threading.Event()

    def use(self) -> None:
        """A thread."""
        while not self.enough.wait(0.002):
            try:
                with self.rig.engine.connect() as connection:
                    connection.execute(text("SELECT 1"))
                self.served += 1
            except ERRORS:
                self.failed += 1

    async def use_async(self) -> None:
        """A task."""
        while not self.enough.is_set():
            await asyncio.sleep(0.002)
            self.on_the_way += 1
            try:
                connection = await self.rig.engine.connect()
            except ERRORS:
                self.failed += 1
                continue
            finally:
                self.on_the_way -= 1
            self.held.add(connection)
            try:
                await connection.execute(text("SELECT 1"))
                self.served += 1
            except exc.SQLAlchemyError:
                self.failed += 1
            self.on_the_way += 1
            self.held.discard(connection)
            try:
                await connection.close()
            except exc.SQLAlchemyError:
                self.failed += 1
            finally:
                self.on_the_way -= 1

    def check(self) -> None:
        """Compare the gauges of this moment with who holds what; a place may be on its way in or out."""
        state = self.rig.state
        valid = sum(not connection.invalidated for connection in self.held)
        assert state.opening is not None
        if self.rig.is_async:
            assert valid <= state.used <= valid + self.on_the_way
        assert 0 <= state.used + state.opening <= SIZE + OVERFLOW
        assert state.disposed == 0

    async def until(self, condition: Callable[[], bool]) -> None:
        """Check again and again until something is so."""
        async with asyncio.timeout(30):
            while not condition():
                self.check()
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Users at work; they have ended afterwards."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(USERS) as threads:
            users = [
                asyncio.create_task(self.use_async()) if self.rig.is_async else loop.run_in_executor(threads, self.use)
                for _ in range(USERS)
            ]
            try:
                yield
            finally:
                self.enough.set()
                await asyncio.gather(*users)


@pytest.mark.parametrize("ping", [False, True], ids=["no_ping", "pre_ping"])
@pytest.mark.parametrize(
    ("driver", "pool_class"),
    [
        ("postgresql+psycopg", QueuePool),
        ("postgresql+asyncpg", AsyncAdaptedQueuePool),
        ("postgresql+psycopg_async", AsyncAdaptedQueuePool),
    ],
)
async def test_gauges_are_true_throughout(
    make_rig: Callable[..., Rig],
    postgres: PostgresPair,
    driver: str,
    pool_class: type[QueuePool],
    *,
    ping: bool,
) -> None:
    """Before, in and after the outage the gauges equal what the users hold; afterwards every figure is exact."""
    rig = make_rig(driver, pool_class, pool_pre_ping=ping, **OPTIONS)
    load = Load(rig)
    async with load.running():
        await load.until(lambda: load.served > 100)
        await asyncio.to_thread(postgres.primary.stop)
        failed = load.failed
        await load.until(lambda: load.failed > failed + 100)
        await asyncio.to_thread(postgres.primary.start)
        served = load.served
        await load.until(lambda: load.served > served + 100)
    load.check()
    told = rig.figures()
    assert (rig.state.used, rig.state.opening, rig.state.waiting) == (0, 0, 0)
    assert told.checkouts == told.checkins
    assert told.checkouts >= load.served
    assert told.failures.total() > 0
    assert set(told.failures) <= OUTAGE
    assert ping or not told.pre_ping_failures
    rig.truth = told
    assert isinstance(rig.database, PostgresDatabase)
    await rig.check()
