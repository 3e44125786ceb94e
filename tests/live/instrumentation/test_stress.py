"""Hundreds of users who collide, give up, are cancelled and lose their connections: every figure is exact at the end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import exc, text
from sqlalchemy.pool import AsyncAdaptedQueuePool, QueuePool

from tests.live.instrumentation.conftest import PostgresDatabase
from tests.live.instrumentation.rig import Rig

TASKS, THREADS, ROUNDS = 300, 100, 6
SIZE, OVERFLOW = 4, 4


class Tally:
    """What the users met, each counted where it happened; threads add up at the end."""

    def __init__(self) -> None:
        self.checkouts = self.timeouts = self.cancelled = self.broken = 0

    def add_to(self, rig: Rig) -> None:
        """Make it part of the truth."""
        rig.truth.checkouts += self.checkouts
        rig.truth.checkins += self.checkouts
        rig.truth.timeouts += self.timeouts
        rig.truth.cancelled += self.cancelled
        rig.truth.disconnects += self.broken


async def _settle(rig: Rig) -> None:
    """Take over what only SQLAlchemy can know: which of the connections it closed for which reason."""
    await _replace_dead(rig)
    assert isinstance(rig.database, PostgresDatabase)
    rig.database.end_strays()
    gc.collect()
    told = rig.figures()
    rig.truth.closes, rig.truth.invalidations = told.closes, told.invalidations
    rig.truth.failures = told.failures
    assert told.closes.total() == rig.driver_closes
    assert set(told.closes) <= {"overflow", "invalidated", "lost"}
    await rig.check()


async def _replace_dead(rig: Rig) -> None:
    """Use every connection until none is dead: a pool cannot know which of its idle ones were killed."""
    broken = 1
    while broken:
        broken = 0
        for connection in [await rig.take() for _ in range(SIZE + OVERFLOW)]:
            try:
                await rig.execute(connection, "SELECT 1")
            except exc.DBAPIError:
                broken += 1
            await rig.give(connection)
        rig.truth.disconnects += broken


@pytest.mark.parametrize("driver", ["postgresql+asyncpg", "postgresql+psycopg_async"])
async def test_tasks(make_rig: Callable[..., Rig], driver: str) -> None:
    """300 tasks on 8 connections; some are cancelled, waiting or working, and some connections are killed."""
    rig = make_rig(driver, AsyncAdaptedQueuePool, pool_size=SIZE, max_overflow=OVERFLOW, pool_timeout=0.3)
    assert isinstance(rig.database, PostgresDatabase)
    chance = random.Random(7)
    tally = Tally()

    async def use() -> None:
        for _ in range(ROUNDS):
            try:
                connection = await rig.engine.connect()
            except exc.TimeoutError:
                tally.timeouts += 1
                continue
            except asyncio.CancelledError:
                tally.cancelled += 1
                raise
            tally.checkouts += 1
            try:
                await connection.execute(text("SELECT pg_sleep(0.002)"))
                if chance.random() < 0.05:
                    await connection.invalidate()
            except exc.DBAPIError:
                pass
            finally:
                with contextlib.suppress(exc.DBAPIError):
                    await connection.close()

    tasks = [asyncio.create_task(use()) for _ in range(TASKS)]
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0.02)
        for task in chance.sample(tasks, 4):
            task.cancel()
        if chance.random() < 0.2:
            rig.database.kill_one()
        state = rig.state
        assert 0 <= state.used + (state.opening or 0) <= SIZE + OVERFLOW
    await asyncio.gather(*tasks, return_exceptions=True)
    assert min(tally.checkouts, tally.timeouts, tally.cancelled) > 0
    tally.add_to(rig)
    # A cancelled task does not wait for its close to end, so it does not see how that fails.
    rig.truth.disconnects = rig.figures().disconnects
    await _settle(rig)


async def test_threads(make_rig: Callable[..., Rig]) -> None:
    """100 threads on 8 connections, some of which are killed."""
    rig = make_rig("postgresql+psycopg", QueuePool, pool_size=SIZE, max_overflow=OVERFLOW, pool_timeout=0.3)
    assert isinstance(rig.database, PostgresDatabase)

    def use(seed: int) -> Tally:
        chance, tally = random.Random(seed), Tally()
        for _ in range(ROUNDS):
            try:
                connection = rig.engine.connect()
            except exc.TimeoutError:
                tally.timeouts += 1
                continue
            tally.checkouts += 1
            try:
                connection.execute(text("SELECT pg_sleep(0.002)"))
                if chance.random() < 0.05:
                    connection.invalidate()
            except exc.DBAPIError:
                tally.broken += 1
            finally:
                try:
                    connection.close()
                except exc.DBAPIError:
                    tally.broken += 1
        return tally

    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(THREADS) as threads:
        users = [loop.run_in_executor(threads, use, seed) for seed in range(THREADS)]
        while not all(user.done() for user in users):
            await asyncio.sleep(0.1)
            rig.database.kill_one()
            state = rig.state
            assert 0 <= state.used + (state.opening or 0) <= SIZE + OVERFLOW
        for user in users:
            (await user).add_to(rig)
    assert min(rig.truth.checkouts, rig.truth.timeouts) > 0
    await _settle(rig)
