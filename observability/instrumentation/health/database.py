"""Asks databases, through an engine's pool and beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from observability.errors import InstrumentationError

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine
    from sqlalchemy.pool import Pool

_QUESTION: Final = "SELECT 1"


class PoolExhaustedError(Exception):
    """All connections of a pool are in use: a request would wait, and the check does not."""


def through_pool(engine: Engine | AsyncEngine) -> Callable[[], Any]:
    """Ask by a connection of the pool."""
    from sqlalchemy import text

    question = text(_QUESTION)
    sync_engine = _sync_engine(engine)
    if sync_engine is engine:

        def ask() -> None:
            refuse_if_exhausted(sync_engine.pool)
            with sync_engine.connect() as connection:
                connection.execute(question)

        return ask

    async_engine: Any = engine

    async def ask_async() -> None:
        refuse_if_exhausted(sync_engine.pool)
        async with async_engine.connect() as connection:
            await connection.execute(question)

    return ask_async


def beside_pool(engine: Engine | AsyncEngine) -> Callable[[], Any]:
    """Ask by a connection that is opened for this as the pool opens its own, and that the pool never sees."""
    sync_engine = _sync_engine(engine)

    def ask() -> None:
        connection = sync_engine.pool._invoke_creator(None)  # type: ignore[arg-type]  # noqa: SLF001 -- the pool's own way, pinned by a test
        try:
            cursor = connection.cursor()
            cursor.execute(_QUESTION)
            cursor.close()
        except BaseException:
            sync_engine.dialect.do_terminate(connection)
            raise
        sync_engine.dialect.do_close(connection)

    if sync_engine is engine:
        return ask

    async def ask_async() -> None:
        from sqlalchemy.util import greenlet_spawn

        await greenlet_spawn(ask)

    return ask_async


def refuse_if_exhausted(pool: Pool) -> None:
    """Raise if whoever asks this pool for a connection would have to wait for one."""
    from sqlalchemy.pool import QueuePool

    if not isinstance(pool, QueuePool):
        return
    beyond = getattr(pool, "_max_overflow", -1)
    if pool.size() > 0 and beyond >= 0 and pool.checkedout() >= pool.size() + beyond:
        raise PoolExhaustedError


def _sync_engine(engine: Any) -> Engine:
    from sqlalchemy.engine import Engine

    found = getattr(engine, "sync_engine", engine)
    if not isinstance(found, Engine):
        raise InstrumentationError(
            f"a check of a database needs an engine of create_engine or create_async_engine, not {type(engine).__name__}"
        )
    return found
