"""The demo server tells the truth about its dependencies, and answers in time whatever happens to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from observability.instrumentation.pool.metrics import COUNT
from observability.lab.pairs import PostgresPair, RedisPair
from observability.lab.postgres import APP
from observability.lab.server import build
from observability.lab.server_config import MAX_OVERFLOW, POOL_SIZE, SCHEMA, ServerConfig

EVERYTHING = POOL_SIZE + MAX_OVERFLOW


@pytest.fixture(scope="session")
def database(postgres_pair: PostgresPair) -> str:
    """The URL of the demo servers' database, with its tables."""
    postgres_pair.primary.sql(SCHEMA, database=APP, role=APP)
    return postgres_pair.primary.url(APP, APP).replace("postgresql:", "postgresql+asyncpg:")


@pytest.fixture
async def client(database: str, postgres: PostgresPair, redis: RedisPair) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the server, which runs in this process on the real stores."""
    config = ServerConfig(
        name="server-1",
        port=0,
        database=database,
        database_password_file=str(postgres.primary.password_file(APP)),
        redis=redis.primary.url(),
        redis_password_file=str(redis.primary.password_file),
    )
    app = build(config)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server", timeout=30) as client,
    ):
        yield client


async def failed(client: httpx.AsyncClient) -> tuple[int, list[str]]:
    """What /healthz says."""
    response = await client.get("/healthz")
    return response.status_code, response.json()["failed"]


async def test_items_are_written_and_read(client: httpx.AsyncClient) -> None:
    """A write that was acknowledged is among the items that are read."""
    written = await client.post("/items", json={"name": "a thing"})
    items = (await client.get("/items")).json()
    assert (201, {"id": written.json()["id"], "name": "a thing", "server": "server-1"}) == (
        written.status_code,
        items[0],
    )


async def test_sessions_count_visits(client: httpx.AsyncClient) -> None:
    """A session knows how often it was visited."""
    visits = [(await client.get("/sessions/somebody")).json()["visits"] for _ in range(3)]
    assert visits == [1, 2, 3]


async def test_health_is_good_while_all_answer(client: httpx.AsyncClient) -> None:
    """With both stores there, nothing has failed."""
    assert await failed(client) == (200, [])


async def test_health_names_a_killed_redis(client: httpx.AsyncClient, redis: RedisPair) -> None:
    """Health says which dependency failed; readiness does not change, since no other server would do better."""
    redis.primary.process.kill()
    assert await failed(client) == (503, ["redis"])
    assert (await client.get("/readyz")).status_code == 200
    assert (await client.get("/sessions/somebody")).status_code == 503


async def test_frozen_primary_costs_no_request_more_than_its_timeout(
    client: httpx.AsyncClient, postgres: PostgresPair
) -> None:
    """While the database hangs, health and requests are refused within the server's timeouts and not later."""
    await client.get("/items")
    postgres.primary.process.freeze()
    async with asyncio.timeout(20):
        health, read = await asyncio.gather(failed(client), client.get("/items"))
    assert (health, read.status_code) == ((503, ["database"]), 503)


async def test_killed_primary_is_found_again(client: httpx.AsyncClient, postgres: PostgresPair) -> None:
    """After the database has come back the pool heals by itself."""
    await client.get("/items")
    postgres.primary.process.kill()
    assert (await client.get("/items")).status_code == 503
    postgres.heal()
    assert (await client.get("/items")).status_code == 200


async def test_exhausted_pool_refuses_and_recovers(client: httpx.AsyncClient) -> None:
    """With every connection leaked a request gets 503 after the pool's timeout; returned ones serve again."""
    await client.post("/leak", params={"seconds": 60, "connections": EVERYTHING})
    refused = await client.get("/items")
    assert (refused.status_code, refused.json()["error"]) == (503, PoolTimeoutError.__name__)
    assert (await client.delete("/leak")).json() == {"connections": EVERYTHING}
    assert (await client.get("/items")).status_code == 200


async def test_pool_is_measured(client: httpx.AsyncClient) -> None:
    """Leaked connections are seen as used on /metrics."""
    await client.post("/leak", params={"seconds": 60, "connections": 3})
    lines = (await client.get("/metrics/")).text.splitlines()
    # Other tests of this process may have pools of their own.
    ours = [line for line in lines if line.startswith(COUNT.prometheus_name) and '"core"' in line]
    used = [float(line.split()[-1]) for line in ours if '"used"' in line]
    assert used == [3.0]
