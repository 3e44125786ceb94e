"""
An engine under test, driven in one way whether it is synchronous or not, with the truth about it.

The truth is kept by the test and by the driver: what the test itself took and gave back, what the dialect was asked to open
and to close, and how many connections the database has.
"""

from __future__ import annotations

import sqlite3
import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, Pool, QueuePool
from sqlalchemy.util.concurrency import greenlet_spawn

from observability.instrumentation.pool import metrics
from observability.instrumentation.pool.monitor import PoolMonitor, instrument
from observability.instrumentation.pool.state import State
from observability.metrics import Histogram, Metric

SIZE, OVERFLOW, TIMEOUT_SECONDS = 2, 1, 0.2


class Database(Protocol):
    """Where a rig connects, and who knows how many connections there are."""

    def url(self, driver: str) -> str:
        """For `create_engine`."""

    def connect_args(self, driver: str) -> dict[str, Any]:
        """For `create_engine`."""

    async def open_connections(self, expected: int) -> int:
        """How many connections are open; a server is given time to notice those that were closed."""


class Counted(sqlite3.Connection):
    """A connection that is counted while it is open."""

    living: ClassVar[weakref.WeakSet[Counted]] = weakref.WeakSet()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.living.add(self)

    def close(self) -> None:
        """Close the connection and count it no longer."""
        self.living.discard(self)
        super().close()


@dataclass
class Truth:
    """What happened, by the test's own account."""

    checkouts: int = 0
    checkins: int = 0
    timeouts: int = 0
    cancelled: int = 0
    collected: int = 0
    detached: int = 0
    disconnects: int = 0
    pre_ping_failures: int = 0
    read_only_errors: int = 0
    connects: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    closes: Counter[str] = field(default_factory=Counter)
    invalidations: Counter[tuple[str, str]] = field(default_factory=Counter)


class Rig:
    """One engine with its monitor; `truth` is what its monitor must tell."""

    def __init__(self, database: Database, driver: str, pool_class: type[Pool], **options: Any) -> None:
        self.database = database
        self.pool_class = pool_class
        self.is_async = driver in {"sqlite+aiosqlite", "postgresql+asyncpg", "postgresql+psycopg_async"}
        self.truth = Truth()
        self.connect_error: Exception | None = None
        self.driver_closes = 0
        self._being_closed: set[int] = set()
        if issubclass(pool_class, QueuePool):
            options = {"pool_size": SIZE, "max_overflow": OVERFLOW, "pool_timeout": TIMEOUT_SECONDS, **options}
        options |= {"poolclass": pool_class, "connect_args": database.connect_args(driver)}
        make = create_async_engine if self.is_async else create_engine
        self.engine: Any = make(database.url(driver), **options)
        self.sync_engine = self.engine.sync_engine if isinstance(self.engine, AsyncEngine) else self.engine
        self._wiretap()
        self.monitor: PoolMonitor = instrument(self.engine, pool_name="rig")

    @property
    def queues(self) -> bool:
        """Whether the pool keeps several connections and lets users wait."""
        return self.pool_class in {QueuePool, AsyncAdaptedQueuePool}

    async def take(self) -> Any:
        """Get a connection."""
        connection = await self.engine.connect() if self.is_async else self.engine.connect()
        self.truth.checkouts += 1
        return connection

    async def give(self, connection: Any, *, returns: bool = True) -> None:
        """Give a connection back; it does not return to the pool if it has left it already."""
        await self._do(connection.close)
        self.truth.checkins += returns

    async def invalidate(self, connection: Any) -> None:
        """Declare a connection unusable: SQLAlchemy closes it and takes its place back at once."""
        await self._do(connection.invalidate)
        self.truth.checkins += 1
        self.truth.invalidations["hard", "requested"] += 1
        self.truth.closes["invalidated"] += 1

    async def invalidate_softly(self, connection: Any) -> None:
        """Let a connection be replaced on its next use."""
        (await self.raw(connection)).invalidate(soft=True)
        self.truth.invalidations["soft", "requested"] += 1

    async def detach(self, connection: Any) -> None:
        """Take a connection out of the pool for good."""
        (connection.sync_connection if self.is_async else connection).detach()
        self.truth.detached += 1

    async def execute(self, connection: Any, statement: str) -> Any:
        """Run a statement."""
        return await self._do(connection.execute, text(statement))

    async def scalar(self, connection: Any, statement: str) -> Any:
        """Run a statement for its one value."""
        return await self._do(connection.scalar, text(statement))

    async def rollback(self, connection: Any) -> None:
        """End the transaction."""
        await self._do(connection.rollback)

    async def raw(self, connection: Any) -> Any:
        """What the pool handed out."""
        return await connection.get_raw_connection() if self.is_async else connection.connection

    async def end(self, driver_connection: Any) -> None:
        """Close what the pool has lost, as the driver would complain of it otherwise."""
        await self._do(driver_connection.close)

    @property
    def drops(self) -> bool:
        """Whether SQLAlchemy drops a connection that has left the pool instead of closing it, having no way to do so."""
        return self.is_async and not self.sync_engine.dialect.has_terminate

    async def close_record(self, record: Any) -> None:
        """Close a connection of a pool from outside."""
        if self.is_async:
            await greenlet_spawn(record.close)
        else:
            record.close()

    async def dispose(self, *, close: bool = True) -> None:
        """Dispose of the pool."""
        if self.is_async:
            await self.engine.dispose(close=close)
        else:
            self.engine.dispose(close=close)

    @property
    def state(self) -> State:
        """The gauges of this moment."""
        state = self.monitor.state
        assert state is not None
        return state

    def figures(self) -> Truth:
        """What the monitor tells, in the terms of the truth."""
        values = self.samples()

        def by(metric: Metric) -> Counter[Any]:
            found = {labels: value for (each, labels), value in values.items() if each is metric and value}
            return Counter({labels[0] if len(labels) == 1 else labels: value for labels, value in found.items()})

        return Truth(
            checkouts=values[metrics.CHECKOUTS, ()],
            checkins=values.get((metrics.CHECKINS, ()), self.truth.checkins),
            timeouts=values[metrics.TIMEOUTS, ()],
            cancelled=values[metrics.CANCELLED_WAITS, ()],
            collected=values.get((metrics.COLLECTED, ()), self.truth.collected),
            detached=values[metrics.DETACHED, ()],
            disconnects=values[metrics.DISCONNECTS, ()],
            pre_ping_failures=values[metrics.PRE_PING_FAILURES, ()],
            read_only_errors=values[metrics.READ_ONLY_ERRORS, ()],
            connects=values[metrics.CONNECTS, ()],
            failures=by(metrics.FAILED_CONNECTS),
            closes=by(metrics.CLOSES),
            invalidations=by(metrics.INVALIDATIONS),
        )

    def samples(self) -> dict[tuple[Metric, tuple[str, ...]], Any]:
        """Every sample, without the pool's name."""
        (batch,) = self.monitor.collect()
        return {(sample.metric, sample.labels[1:]): sample.value for sample in batch.samples}

    async def check(self, *, used: int = 0, detached: int = 0, disposed: int = 0) -> None:
        """Compare everything that the monitor tells with the truth."""
        values, state = self.samples(), self.state
        assert self.truth == self.figures()
        assert (used, detached, disposed) == (state.used, values[metrics.DETACHED_OPEN, ()], state.disposed)
        told = state.used + state.idle + state.disposed + detached
        assert await self.database.open_connections(told) == told
        self._check_sums(values, state.used + state.idle + state.disposed)

    def _check_sums(self, values: dict[tuple[Metric, tuple[str, ...]], Any], open_now: int) -> None:
        """What must hold between the figures at any time."""
        truth = self.truth
        asked = truth.checkouts + truth.timeouts + truth.cancelled + truth.failures.total()
        waits: Histogram = values[metrics.WAIT_TIME, ()]
        creates: Histogram = values[metrics.CREATE_TIME, ()]
        assert waits.count == asked
        assert creates.count == truth.connects
        assert truth.connects - truth.closes.total() - truth.detached == open_now
        if (metrics.USE_TIME, ()) in values:
            assert values[metrics.USE_TIME, ()].count == truth.checkins + truth.detached
        assert values[metrics.LISTENER_ERRORS, ()] == 0
        if self.queues:
            assert values[metrics.PENDING, ()] == 0
            assert values[metrics.OPENING, ()] == 0

    async def _do(self, function: Callable[..., Any], *args: Any) -> Any:
        return await function(*args) if self.is_async else function(*args)

    def _wiretap(self) -> None:
        """Listen in between the pool and the driver: what is opened, and what is closed."""
        dialect: Any = self.sync_engine.dialect
        connect = dialect.connect

        def connecting(*args: Any, **kwargs: Any) -> Any:
            if self.connect_error:
                raise self.connect_error
            connection = connect(*args, **kwargs)
            self.truth.connects += 1
            return connection

        dialect.connect = connecting
        for name in ("do_close", "do_terminate"):
            setattr(dialect, name, self._closing(getattr(dialect, name)))

    def _closing(self, close: Callable[[Any], None]) -> Callable[[Any], None]:
        def closing(connection: Any) -> None:
            if id(connection) in self._being_closed:  # to terminate may be to close
                close(connection)
                return
            self.driver_closes += 1
            self._being_closed.add(id(connection))
            try:
                close(connection)
            finally:
                self._being_closed.discard(id(connection))

        return closing
