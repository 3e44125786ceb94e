"""The case that brings servers down: more users than connections, and those who wait give up."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import exc
from sqlalchemy.pool import AsyncAdaptedQueuePool, QueuePool

from observability.instrumentation.pool import metrics
from tests.live.instrumentation.rig import Rig

SIZE, OVERFLOW, USERS = 5, 3, 20
FIT = SIZE + OVERFLOW
LEFT = USERS - FIT
OPTIONS: dict[str, Any] = {"pool_size": SIZE, "max_overflow": OVERFLOW, "pool_timeout": 0.5}


@pytest.mark.parametrize("driver", ["sqlite", "postgresql+psycopg"])
async def test_threads(make_rig: Callable[..., Rig], driver: str) -> None:
    """Of 20 threads 8 hold a connection and 12 wait until they give up; all is seen while it happens and afterwards."""
    rig = make_rig(driver, QueuePool, **OPTIONS)
    outcomes: Counter[str] = Counter()
    enough = threading.Event()

    def use() -> None:
        try:
            with rig.engine.connect():
                outcomes["held"] += 1
                enough.wait(10)
        except exc.TimeoutError:
            outcomes["timed out"] += 1

    with ThreadPoolExecutor(USERS) as threads:
        users = [threads.submit(use) for _ in range(USERS)]
        await _await_waiting(rig)
        _check_gauges(rig)
        while outcomes["timed out"] < LEFT:  # noqa: ASYNC110 -- threads tell by their outcome
            await asyncio.sleep(0.01)
        enough.set()
    for user in users:
        user.result()
    assert outcomes == {"held": FIT, "timed out": LEFT}
    await _check_afterwards(rig)


@pytest.mark.parametrize("driver", ["sqlite+aiosqlite", "postgresql+asyncpg", "postgresql+psycopg_async"])
async def test_tasks(make_rig: Callable[..., Rig], driver: str) -> None:
    """Of 20 tasks 8 hold a connection and 12 wait until they give up; all is seen while it happens and afterwards."""
    rig = make_rig(driver, AsyncAdaptedQueuePool, **OPTIONS)
    outcomes: Counter[str] = Counter()
    enough = asyncio.Event()

    async def use() -> None:
        try:
            async with rig.engine.connect():
                outcomes["held"] += 1
                await enough.wait()
        except exc.TimeoutError:
            outcomes["timed out"] += 1
            if outcomes["timed out"] == LEFT:
                enough.set()

    users = [asyncio.create_task(use()) for _ in range(USERS)]
    await _await_waiting(rig)
    _check_gauges(rig)
    await asyncio.gather(*users)
    assert outcomes == {"held": FIT, "timed out": LEFT}
    await _check_afterwards(rig)


async def _await_waiting(rig: Rig) -> None:
    async with asyncio.timeout(5):
        while (rig.state.used, rig.state.waiting) != (FIT, LEFT):  # noqa: ASYNC110 -- the pool tells nobody
            await asyncio.sleep(0.005)


def _check_gauges(rig: Rig) -> None:
    values = rig.samples()
    assert values[metrics.COUNT, ("used",)] == FIT
    assert values[metrics.COUNT, ("idle",)] == 0
    assert values[metrics.MAX, ()] == FIT
    assert values[metrics.IDLE_MAX, ()] == SIZE
    assert values[metrics.OVERFLOW, ()] == OVERFLOW
    assert values[metrics.PENDING, ()] == LEFT
    assert values[metrics.OPENING, ()] == 0
    assert values[metrics.OLDEST_CHECKOUT, ()] > 0


async def _check_afterwards(rig: Rig) -> None:
    rig.truth.checkouts = rig.truth.checkins = FIT
    rig.truth.timeouts = LEFT
    rig.truth.closes["overflow"] = OVERFLOW
    await rig.check()
    values = rig.samples()
    assert (metrics.OLDEST_CHECKOUT, ()) not in values
    waits = values[metrics.WAIT_TIME, ()]
    at_least_the_timeout = waits.counts[metrics.WAIT_BUCKETS.index(0.5) + 1 :]
    assert (waits.count, sum(at_least_the_timeout)) == (USERS, LEFT)
