"""The database of the journal: opened, checked, and used in transactions; every failure is a `FailoverError`."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Self

from sqlalchemy import event, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from observability.errors import FailoverError
from observability.failover.schema import METADATA, SCHEMA, VERSION, prepare_sqlite

_TIMEOUT_SECONDS = 5


class Store:
    """A SQLite or PostgreSQL database with the tables of `schema`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._one_writer = asyncio.Lock()
        self.insert: Any = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert

    @classmethod
    async def open(cls, url: str, *, create: bool) -> Self:
        """
        The database at a SQLAlchemy URL; its tables are made if `create`.

        Raises:
            FailoverError: when there is none, it cannot be reached, or is of another version.

        """
        store = cls(_engine(url, create=create))
        try:
            async with store.writing() as connection:
                await _prepare(connection, store.address, create=create)
        except BaseException:
            await store.close()
            raise
        return store

    @property
    def address(self) -> str:
        """Where it is, without a password."""
        return self._engine.url.render_as_string(hide_password=True)

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection to read from."""
        try:
            async with self._engine.connect() as connection:
                yield connection
        except (SQLAlchemyError, OSError) as error:
            raise FailoverError(f"the journal {self.address} cannot be read: {_first_line(error)}") from error

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction; what it wrote is on disk when it ends."""
        try:
            # One writer at a time: SQLite itself would let the others wait in growing steps.
            async with self._one_writer, self._engine.begin() as connection:
                yield connection
        except (SQLAlchemyError, OSError) as error:
            raise FailoverError(f"the journal {self.address} cannot be written: {_first_line(error)}") from error


async def _prepare(connection: AsyncConnection, address: str, *, create: bool) -> None:
    if create:
        await connection.run_sync(METADATA.create_all)
        if (await connection.execute(select(SCHEMA.c.version))).first() is None:
            await connection.execute(insert(SCHEMA).values(version=VERSION))
    version = (await connection.execute(select(SCHEMA.c.version))).scalar()
    if version != VERSION:
        raise FailoverError(
            f"the journal {address} has tables of version {version}, this program knows {VERSION}: "
            "run the version that wrote it, or give another state_url"
        )


def _engine(url: str, *, create: bool) -> AsyncEngine:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
        limits = {"timeout": _TIMEOUT_SECONDS, "command_timeout": _TIMEOUT_SECONDS} if backend == "postgresql" else {}
        engine = create_async_engine(parsed, connect_args=limits, hide_parameters=True)
    except (SQLAlchemyError, ImportError) as error:
        # Neither the URL nor the error's text: a password may be in both.
        raise FailoverError(
            "state_url is not a SQLAlchemy URL of an asyncio driver that is installed: write sqlite+aiosqlite:///FILE "
            f"or postgresql+asyncpg://USER@HOST/DATABASE ({type(error).__name__})"
        ) from None
    if backend not in {"sqlite", "postgresql"}:
        raise FailoverError(f"the journal is kept in SQLite or PostgreSQL, not in {backend}")
    if backend == "sqlite":
        _require_sqlite_file(parsed.database or "", create=create)
        event.listen(engine.sync_engine, "connect", prepare_sqlite)
    return engine


def _require_sqlite_file(path: str, *, create: bool) -> None:
    """Find out at once, here: a connection that aiosqlite fails to open leaves a thread that complains on its own."""
    if path in {"", ":memory:"}:
        raise FailoverError("a journal in memory is none: write sqlite+aiosqlite:////PATH/journal.db")
    if not create and not Path(path).is_file():
        raise FailoverError(f"there is no journal at {path}: has the controller run with this state_url?")
    try:
        with closing(sqlite3.connect(path)) as database:
            database.execute("SELECT count(*) FROM sqlite_schema")
    except sqlite3.Error as error:
        raise FailoverError(f"the journal {path} cannot be used: {error}") from error


def _first_line(error: BaseException) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return next(iter(str(cause).splitlines()), type(cause).__name__)
