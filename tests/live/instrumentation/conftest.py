"""Databases for rigs: SQLite in a file, and a real PostgreSQL."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, LiteralString

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


class Overseer:
    """A superuser's session, which sees every connection; opened again if the server was away."""

    def __init__(self, server: Postgres) -> None:
        self._server = server
        self._session: psycopg.Connection[Any] | None = None

    def ask(self, question: LiteralString, *values: str) -> int:
        """The one number that answers a question."""
        if self._session is None or self._session.closed:
            self._session = psycopg.connect(
                self._server.url(SUPERUSER), password=self._server.password(SUPERUSER), autocommit=True
            )
        try:
            row = self._session.execute(question, values).fetchone()
        except psycopg.OperationalError:
            self._session.close()
            return self.ask(question, *values)
        return int(row[0]) if row else 0

    def close(self) -> None:
        """End the session."""
        if self._session:
            self._session.close()


class PostgresDatabase:
    """A server; it counts the connections of one test by their application name."""

    def __init__(self, server: Postgres, overseer: Overseer, port: int | None = None) -> None:
        self._server = server
        self._overseer = overseer
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
        self._overseer.ask(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE application_name = %s",
            self._name,
        )

    def kill_one(self) -> None:
        """End one backend of this test, if there is one."""
        self._overseer.ask(
            "SELECT count(pg_terminate_backend(pid)) FROM"
            " (SELECT pid FROM pg_stat_activity WHERE application_name = %s LIMIT 1) one",
            self._name,
        )

    def end_strays(self) -> None:
        """End what a driver leaves behind when its connect is cancelled: a session that no pool has heard of."""
        self._overseer.ask(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
            " WHERE application_name = %s AND query = ''",
            self._name,
        )

    def running(self, words: str) -> bool:
        """Whether a statement of this test with these words runs now."""
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND state = 'active' AND query LIKE %s"
        )
        return self._overseer.ask(query, self._name, f"%{words}%") > 0

    def _count(self) -> int:
        return self._overseer.ask("SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", self._name)


@pytest.fixture(scope="session")
def overseer(postgres_pair: PostgresPair) -> Iterator[Overseer]:
    """Who sees every connection to the primary."""
    overseer = Overseer(postgres_pair.primary)
    yield overseer
    overseer.close()


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
