"""Checks: a result for everyone who asks, in time, whatever the dependency does."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import QueuePool, StaticPool

from observability.errors import InstrumentationError
from observability.instrumentation.health import database, metrics, runner
from observability.instrumentation.health.check import HealthCheck
from observability.instrumentation.health.database import PoolExhaustedError, refuse_if_exhausted
from observability.instrumentation.health.reasons import reason
from observability.instrumentation.health.runner import Runner
from observability.metrics import Batch
from tests.unit.instrumentation.driving import values

SECRET = "hunter2"


def well() -> None:
    """Succeed."""


def refused() -> None:
    """Fail as a socket does."""
    raise ConnectionRefusedError(f"postgresql://me:{SECRET}@db")


def exiting() -> None:
    """Try to end the process."""
    raise SystemExit(1)


async def well_async() -> str:
    """Succeed."""
    return "PONG"


async def broken_async() -> None:
    """Fail."""
    raise ValueError(SECRET)


async def exiting_async() -> None:
    """Try to end the process."""
    raise SystemExit(1)


async def hanging_async() -> None:
    """Never answer."""
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("ask", "why", "error"),
    [
        pytest.param(well, "", "", id="function"),
        pytest.param(well_async, "", "", id="coroutine-function"),
        pytest.param(lambda: well_async(), "", "", id="function-that-gives-a-coroutine"),  # noqa: PLW0108
        pytest.param(lambda: 0, "", "", id="any-result"),
        pytest.param(lambda: False, "false", "", id="false"),
        pytest.param(refused, "refused", "ConnectionRefusedError", id="function-fails"),
        pytest.param(broken_async, "error", "ValueError", id="coroutine-function-fails"),
        pytest.param(exiting, "error", "RuntimeError", id="function-exits"),
        pytest.param(exiting_async, "error", "RuntimeError", id="coroutine-function-exits"),
        pytest.param(lambda: next(iter(())), "error", "RuntimeError", id="stop-iteration"),
        pytest.param(hanging_async, "timeout", "", id="hangs"),
    ],
)
async def test_result(ask: Callable[[], Any], why: str, error: str) -> None:
    """How a check ended is a reason of a short list and the class of what was raised."""
    each = Runner(HealthCheck("x", ask, timeout_seconds=0.2 if ask is hanging_async else 5))
    result = await each.result()
    assert (result.ok, result.reason, result.error) == (not why, why, error)
    assert SECRET not in repr(result)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (PoolExhaustedError(), "pool_exhausted"),
        (OperationalError("SELECT", None, sqlite3.OperationalError("connection refused")), "refused"),
        (OperationalError("SELECT", None, sqlite3.OperationalError("the database system is starting up")), "starting"),
        (type("AuthenticationError", (Exception,), {"__module__": "redis.exceptions"})(), "auth"),
        (type("TimeoutError", (Exception,), {"__module__": "redis.exceptions"})(), "hung"),
        (type("AuthenticationError", (Exception,), {"__module__": "mine"})(), "error"),
        (TimeoutError(), "hung"),
    ],
)
def test_reason(error: Exception, why: str) -> None:
    """Errors of drivers become reasons."""
    assert reason(error) == why


async def test_those_who_ask_together_share_a_run() -> None:
    """A hundred who ask at the same time cost the dependency one check."""
    calls, entered, leave = [], asyncio.Event(), asyncio.Event()

    async def ask() -> None:
        calls.append(1)
        entered.set()
        await leave.wait()

    each = Runner(HealthCheck("x", ask))
    waiting = [asyncio.create_task(each.result()) for _ in range(100)]
    await entered.wait()
    leave.set()
    assert len(set(await asyncio.gather(*waiting))) == 1
    assert len(calls) == 1


async def test_who_goes_away_takes_nothing_along() -> None:
    """A client that leaves does not end the check for the others."""
    entered, leave = asyncio.Event(), asyncio.Event()

    async def ask() -> None:
        entered.set()
        await leave.wait()

    each = Runner(HealthCheck("x", ask))
    leaving, staying = (asyncio.create_task(each.result()) for _ in range(2))
    await entered.wait()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    leave.set()
    assert (await staying).ok


async def test_a_result_is_kept_for_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within its time a result is given again; after it, it is renewed."""
    now, calls = 1000.0, []
    monkeypatch.setattr(runner, "monotonic", lambda: now)
    each = Runner(HealthCheck("x", lambda: calls.append(1), ttl_seconds=10))
    for later, expected in ((0, 1), (9, 1), (2, 2), (9, 2), (2, 3)):
        now += later
        await each.result()
        assert len(calls) == expected


async def test_an_old_result_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A result that was not renewed for long is absent; its age says why."""
    now = 1000.0
    monkeypatch.setattr(runner, "monotonic", lambda: now)
    each = Runner(HealthCheck("x", refused, ttl_seconds=10, timeout_seconds=2))
    assert told(each, metrics.AGE) == {}
    await each.result()
    now += 36
    assert told(each, metrics.SUCCESS) == {("x",): 0}
    assert told(each, metrics.ERROR) == {("x", "refused"): 1}
    now += 1
    assert told(each, metrics.SUCCESS) == told(each, metrics.ERROR) == told(each, metrics.DURATION) == {}
    assert told(each, metrics.AGE) == {("x",): 37}
    assert told(each, metrics.FAILURES) == told(each, metrics.RUNS) == {("x",): 1}


def told(each: Runner, metric: Any) -> dict[tuple[str, ...], float]:
    """The values of a metric of a check."""
    return values([Batch((), list(each.samples()))], metric)


@pytest.fixture
def thread_gate() -> Iterator[threading.Event]:
    """Opened at the end, so that no thread is left behind."""
    gate = threading.Event()
    yield gate
    gate.set()


async def test_a_hung_function_keeps_one_thread(thread_gate: threading.Event) -> None:
    """A function that hangs costs its timeout once; until it ends, no other is begun, and it is said for how long."""
    calls = []

    def ask() -> None:
        calls.append(1)
        thread_gate.wait()

    each = Runner(HealthCheck("x", ask, timeout_seconds=0.05))
    results = [await each.renew() for _ in range(3)]
    assert [result.reason for result in results] == ["timeout", "still_running", "still_running"]
    assert results[0].seconds < results[1].seconds < results[2].seconds
    assert len(calls) == 1
    thread_gate.set()
    while each._is_running():  # noqa: ASYNC110 -- a thread has no event for asyncio
        await asyncio.sleep(0.001)
    assert (await each.renew()).ok


async def test_a_coroutine_that_will_not_be_cancelled() -> None:
    """A coroutine that takes its cancellation for nothing keeps nobody waiting either."""
    calls, leave = [], asyncio.Event()

    async def ask() -> None:
        calls.append(1)
        while not leave.is_set():
            try:
                await leave.wait()
            except asyncio.CancelledError:
                continue
        raise ValueError("too late to be of interest")

    each = Runner(HealthCheck("x", ask, timeout_seconds=0.05))
    assert [(await each.renew()).reason for _ in range(3)] == ["timeout", "still_running", "still_running"]
    assert len(calls) == 1
    leave.set()
    while each._is_running():  # noqa: ASYNC110 -- the task is not ours
        await asyncio.sleep(0)
    assert (await each.renew()).reason == "error"


def test_a_loop_that_is_gone_hangs_nobody() -> None:
    """What was left behind in an event loop that is closed is not waited for in the next."""
    each = Runner(HealthCheck("x", well_async))
    loop = asyncio.new_event_loop()
    loop.run_until_complete(asyncio.sleep(0))
    each._work = loop.create_task(hanging_async())
    each._run = loop.create_task(each._once())
    for task in (each._work, each._run):
        task.cancel()
    loop.run_until_complete(asyncio.gather(each._work, each._run, return_exceptions=True))
    loop.close()
    assert asyncio.run(each.result()).ok


@pytest.mark.parametrize("size", [1, 2])
def test_an_exhausted_pool_is_refused(size: int) -> None:
    """A pool whose connections are all in use is known to be, before anybody waits."""
    engine = create_engine("sqlite://", poolclass=QueuePool, pool_size=size, max_overflow=1)
    held = []
    for _ in range(size + 1):
        refuse_if_exhausted(engine.pool)
        held.append(engine.connect())
    with pytest.raises(PoolExhaustedError):
        refuse_if_exhausted(engine.pool)
    held.pop().close()
    refuse_if_exhausted(engine.pool)
    for connection in held:
        connection.close()
    engine.dispose()


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"poolclass": QueuePool, "pool_size": 0}, id="no-limit-of-size"),
        pytest.param({"poolclass": QueuePool, "pool_size": 1, "max_overflow": -1}, id="no-limit-of-overflow"),
        pytest.param({"poolclass": StaticPool}, id="no-queue"),
    ],
)
def test_a_pool_without_limit_is_not_exhausted(options: dict[str, Any]) -> None:
    """Where nobody waits, nobody is refused."""
    engine = create_engine("sqlite://", **options)
    with engine.connect(), engine.connect():
        refuse_if_exhausted(engine.pool)
    engine.dispose()


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_an_engine(kind: str, tmp_path: Any) -> None:
    """A check through the pool fails while the pool is used up; one beside the pool leaves the pool alone."""
    url = f"{tmp_path}/x.db"
    sync_engine = create_engine(f"sqlite:///{url}", poolclass=QueuePool, pool_size=1, max_overflow=0)
    async_engine = create_async_engine(f"sqlite+aiosqlite:///{url}", pool_size=1, max_overflow=0)
    engine: Any = sync_engine if kind == "sync" else async_engine
    pool = engine.pool
    through, beside = (Runner(make(engine)) for make in (HealthCheck.pool, HealthCheck.connection))
    assert (through.check.name, beside.check.name) == ("database", "database-connection")
    assert (await beside.renew()).ok
    assert (pool.checkedin(), pool.checkedout()) == (0, 0)
    assert (await through.renew()).ok
    assert (pool.checkedin(), pool.checkedout()) == (1, 0)
    connection = await asyncio.to_thread(engine.connect) if kind == "sync" else await engine.connect()
    result = await through.renew()
    assert (result.reason, result.error) == ("pool_exhausted", "PoolExhaustedError")
    assert (await beside.renew()).ok
    if kind == "sync":
        await asyncio.to_thread(connection.close)
    else:
        await connection.close()
    assert (await through.renew()).ok
    sync_engine.dispose()
    await async_engine.dispose()


class Client:
    """A client for threads, as far as a check knows it."""

    def ping(self) -> bool:
        """Answer."""
        return True


class AsyncClient:
    """A client for asyncio, which is told by where its class is from."""

    async def ping(self) -> bool:
        """Answer."""
        return True


AsyncClient.__module__ = "redis.asyncio.client"


@pytest.mark.parametrize("client", [Client(), AsyncClient()], ids=["threads", "asyncio"])
async def test_redis(client: Any) -> None:
    """A PING of either client is a check; that for threads blocks no event loop."""
    each = Runner(HealthCheck.redis(client))
    assert (await each.result()).ok
    assert (each._errand is not None) is isinstance(client, Client)


async def test_a_connection_that_breaks_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """A new connection whose question fails is not left open."""
    engine = create_engine(f"sqlite:///{tmp_path}/x.db")
    ended: list[Any] = []

    def terminate(connection: Any) -> None:
        ended.append(connection)
        connection.close()

    monkeypatch.setattr(database, "_QUESTION", "SELECT nonsense")
    monkeypatch.setattr(engine.dialect, "do_terminate", terminate)
    result = await Runner(HealthCheck.connection(engine)).result()
    assert (result.ok, len(ended)) == (False, 1)
    engine.dispose()


@pytest.mark.parametrize("make", [HealthCheck.pool, HealthCheck.connection, HealthCheck.redis])
def test_something_else(make: Callable[[Any], HealthCheck]) -> None:
    """What is no engine or client is refused at once, by a sentence that says what is wanted."""
    with pytest.raises(InstrumentationError, match=r"needs .*, not object"):
        make(object())
