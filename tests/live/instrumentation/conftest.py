"""Databases for rigs: SQLite in a file, and a real PostgreSQL."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.pool import Pool

from observability.lab.pairs import PostgresPair
from observability.lab.postgres import APP, SUPERUSER, Postgres
from tests.live.instrumentation.rig import Counted, Database, Rig

HOST = "127.0.0.1"


class Sqlite:
    """A file; the driver's own connections are counted."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before = set(Counted.living)

    def url(self, driver: str) -> str:
        """For `create_engine`."""
        return f"{driver}:///{self._path}"

    def connect_args(self, _: str) -> dict[str, Any]:
        """For `create_engine`."""
        return {"factory": Counted}

    async def open_connections(self, _: int) -> int:
        """How many connections are open."""
        return len(set(Counted.living) - self._before)


class PostgresDatabase:
    """A server; it counts the connections of one test by their application name."""

    def __init__(self, server: Postgres, session: psycopg.Connection[Any], port: int | None = None) -> None:
        self._server = server
        self._session = session
        self._port = port or server.port
        self._name = f"rig-{secrets.token_hex(4)}"

    def url(self, driver: str) -> str:
        """For `create_engine`."""
        return f"{driver}://{APP}@{HOST}:{self._port}/{APP}"

    def connect_args(self, driver: str) -> dict[str, Any]:
        """For `create_engine`: the password, which never is in the URL, and the name that the server counts by."""
        password = self._server.password(APP)
        if driver == "postgresql+asyncpg":
            return {"password": password, "timeout": 5, "server_settings": {"application_name": self._name}}
        return {"password": password, "connect_timeout": 5, "application_name": self._name}

    async def open_connections(self, expected: int) -> int:
        """How many connections are open, after the time that the server needs to see that some are not."""
        for _ in range(200):
            found = self._count()
            if found == expected:
                break
            await asyncio.sleep(0.01)  # a backend ends a moment after its client
        return found

    def kill_all(self) -> None:
        """End every backend of this test, and wait until they are gone."""
        self._session.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s", (self._name,)
        )

    def running(self, words: str) -> bool:
        """Whether a statement of this test with these words runs now."""
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND state = 'active' AND query LIKE %s"
        )
        row = self._session.execute(query, (self._name, f"%{words}%")).fetchone()
        return bool(row and row[0])

    def _count(self) -> int:
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
        row = self._session.execute(query, (self._name,)).fetchone()
        assert row
        return int(row[0])


@pytest.fixture(scope="session")
def overseer(postgres_pair: PostgresPair) -> Iterator[psycopg.Connection[Any]]:
    """A superuser's session on the primary, which sees every connection."""
    with superuser_session(postgres_pair.primary) as session:
        yield session


def superuser_session(server: Postgres) -> psycopg.Connection[Any]:
    """A new session of the superuser."""
    return psycopg.connect(server.url(SUPERUSER), password=server.password(SUPERUSER), autocommit=True)


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Database]:
    """The database for a driver."""

    def for_driver(driver: str) -> Database:
        if driver.startswith("sqlite"):
            return Sqlite(tmp_path / "rig.db")
        pair: PostgresPair = request.getfixturevalue("postgres_pair")
        return PostgresDatabase(pair.primary, request.getfixturevalue("overseer"))

    return for_driver


@pytest.fixture
async def make_rig(database: Callable[[str], Database]) -> AsyncIterator[Callable[..., Rig]]:
    """Make rigs that are disposed of at the end."""
    async with AsyncExitStack() as stack:

        def make(driver: str, pool_class: type[Pool], **options: Any) -> Rig:
            rig = Rig(database(driver), driver, pool_class, **options)
            stack.push_async_callback(rig.dispose)
            return rig

        yield make
