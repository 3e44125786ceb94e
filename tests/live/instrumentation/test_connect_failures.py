"""Why a connection cannot be opened, as real servers and drivers put it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from observability.instrumentation.pool import metrics
from observability.instrumentation.pool.monitor import instrument
from observability.lab.pairs import PostgresPair
from observability.lab.ports import free_port
from observability.lab.postgres import APP
from observability.lab.proxy import LineThread
from tests.live.instrumentation.conftest import HOST

DRIVERS = ("postgresql+psycopg", "postgresql+asyncpg", "postgresql+psycopg_async")


async def reasons(driver: str, *, host: str = HOST, port: int, database: str = APP, **options: Any) -> set[str]:
    """Try to connect, and give the reasons that are told."""
    url = f"{driver}://{APP}@{host}:{port}/{database}"
    is_async = driver != "postgresql+psycopg"
    engine: Any = (create_async_engine if is_async else create_engine)(url, poolclass=NullPool, connect_args=options)
    monitor = instrument(engine)
    with contextlib.suppress(Exception):  # each driver has its own; that there was one is seen in what is told
        await engine.connect() if isinstance(engine, AsyncEngine) else engine.connect()
    (batch,) = monitor.collect()
    return {each.labels[1] for each in batch.samples if each.metric is metrics.FAILED_CONNECTS and each.value}


@pytest.mark.parametrize("driver", DRIVERS)
class TestReason:
    """Each is told by every driver."""

    async def test_refused(self, driver: str) -> None:
        """Nobody listens."""
        assert await reasons(driver, port=free_port()) == {"refused"}

    async def test_auth(self, driver: str, postgres_pair: PostgresPair) -> None:
        """The password is wrong."""
        assert await reasons(driver, port=postgres_pair.primary.port, password="wrong") == {"auth"}

    async def test_database(self, driver: str, postgres_pair: PostgresPair) -> None:
        """The database does not exist."""
        server = postgres_pair.primary
        assert await reasons(driver, port=server.port, database="none", password=server.password(APP)) == {"database"}

    async def test_too_many_connections(self, driver: str, postgres_pair: PostgresPair) -> None:
        """The server lets no more in."""
        server = postgres_pair.primary
        server.sql("CREATE DATABASE narrow CONNECTION LIMIT 0")
        try:
            told = await reasons(driver, port=server.port, database="narrow", password=server.password(APP))
        finally:
            server.sql("DROP DATABASE narrow")
        assert told == {"too_many_connections"}

    async def test_tls(self, driver: str, postgres_pair: PostgresPair) -> None:
        """The server speaks no TLS, and we insist on it."""
        server = postgres_pair.primary
        options = {"ssl": "require"} if driver == "postgresql+asyncpg" else {"sslmode": "require"}
        assert await reasons(driver, port=server.port, password=server.password(APP), **options) == {"tls"}

    async def test_dns(self, driver: str, postgres_pair: PostgresPair) -> None:
        """The host has no address."""
        assert await reasons(driver, host="no-such-host.invalid", port=postgres_pair.primary.port) == {"dns"}

    async def test_hung(self, driver: str, postgres_pair: PostgresPair, line: Callable[[int], LineThread]) -> None:
        """The server takes the connection and says nothing."""
        stalled = line(postgres_pair.primary.port)
        stalled.stall()
        options = {"timeout": 0.3} if driver == "postgresql+asyncpg" else {"connect_timeout": 1}
        assert await reasons(driver, port=stalled.port, **options) == {"hung"}
