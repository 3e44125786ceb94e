"""
The private names of SQLAlchemy that the pool instrumentation relies on, in the version that is installed.

Where one of them is missing, the figure that needs it is absent and nothing else happens: that is tested here too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine.base import OptionEngine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry, Pool, QueuePool, SingletonThreadPool

from observability.instrumentation.pool import metrics
from observability.instrumentation.pool.monitor import PoolMonitor, instrument
from observability.instrumentation.pool.state import pool_of


@pytest.fixture
def engine() -> Iterator[Engine]:
    """An engine with a queue pool."""
    engine = create_engine("sqlite://", poolclass=QueuePool)
    yield engine
    engine.dispose()


class TestNames:
    """They exist and mean what we take them for."""

    def test_of_a_queue_pool(self, engine: Engine) -> None:
        """Capacity, invalidation and recycling."""
        pool: Any = engine.pool
        assert (pool._max_overflow, pool._invalidate_time, pool._recycle) == (10, 0, -1)
        assert len(pool._pool.not_empty._waiters) == 0
        assert len(pool._pool.queue) == 0

    async def test_of_a_pool_for_asyncio(self) -> None:
        """Its queue is made late, and has the waiting tasks and the idle records."""
        engine = create_async_engine("sqlite+aiosqlite://", poolclass=AsyncAdaptedQueuePool)
        pool: Any = engine.sync_engine.pool
        assert "_queue" not in vars(pool._pool)
        await (await engine.connect()).close()
        assert len(pool._pool._queue._getters) == 0
        assert len(pool._pool._queue._queue) == 1
        await engine.dispose()

    def test_of_a_record(self, engine: Engine) -> None:
        """What a connection belongs to, when it was opened, and to whom it was handed."""
        with engine.connect() as connection:
            proxy: Any = connection.connection
            assert isinstance(proxy._connection_record, ConnectionPoolEntry)
            record: Any = proxy._connection_record
            assert pool_of(record) is engine.pool
            assert record.fairy_ref() is proxy
            assert record.starttime > 0
            assert record._soft_invalidate_time == 0
            assert isinstance(record.__dict__, dict)

    def test_of_returning(self) -> None:
        """A connection is returned through both, and detached through the second."""
        assert "_do_return_conn" in Pool._return_conn.__code__.co_names
        assert callable(QueuePool._do_return_conn)

    def test_of_a_pool_per_thread(self) -> None:
        """What the thread holds."""
        engine = create_engine("sqlite://", poolclass=SingletonThreadPool)
        pool: Any = engine.pool
        with engine.connect() as connection:
            assert pool._fairy.current() is connection.connection
        assert getattr(pool._fairy, "current", None) is None
        engine.dispose()

    def test_of_an_engine_with_options(self, engine: Engine) -> None:
        """Where it leads to."""
        child = engine.execution_options(isolation_level="AUTOCOMMIT")
        assert isinstance(child, OptionEngine)
        assert child._proxied is engine


class TestWithout:
    """A version of SQLAlchemy that lacks a name."""

    @staticmethod
    def told(monitor: PoolMonitor) -> set[str]:
        """The names of the series."""
        (batch,) = monitor.collect()
        return {sample.metric.name for sample in batch.samples}

    def test_capacity(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        """The limit of connections is absent; the limit of idle ones is public."""
        monitor = instrument(engine)
        before = self.told(monitor)
        monkeypatch.delattr(engine.pool, "_max_overflow")
        assert before - self.told(monitor) == {metrics.MAX.name}

    def test_waiters(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who waits is not told."""
        monitor = instrument(engine)
        before = self.told(monitor)
        monkeypatch.delattr(engine.pool._pool.not_empty, "_waiters")  # type: ignore[attr-defined]
        assert before - self.told(monitor) == {metrics.PENDING.name}
