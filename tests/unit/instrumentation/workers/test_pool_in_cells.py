"""What other workers read of a pool is what it tells itself, for every class of pool and everything that can happen to one."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import AssertionPool, NullPool, Pool, QueuePool, SingletonThreadPool, StaticPool

from observability.instrumentation.pool.metrics import METRICS
from observability.instrumentation.pool.monitor import PoolMonitor, instrument
from observability.instrumentation.workers import membership
from observability.instrumentation.workers.mirror import COUNTED
from observability.metrics import Batch, Histogram, Value

CLASSES = [QueuePool, NullPool, StaticPool, AssertionPool, SingletonThreadPool]


@pytest.fixture(autouse=True)
def _worker(tmp_path: Path) -> Iterator[None]:
    """This process is a worker while a test runs."""
    membership.join_workers(tmp_path)
    yield
    membership.leave_workers()


@pytest.fixture(params=CLASSES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An engine with each class of pool."""
    pool_class: type[Pool] = request.param
    made = create_engine(f"sqlite:///{tmp_path}/db", poolclass=pool_class)
    yield made
    made.dispose()


def plain(value: Value) -> Value:
    """A value that equals another of the same figures, whatever sequence they are in."""
    return Histogram(tuple(value.counts), value.sum) if isinstance(value, Histogram) else value


def counted(batches: list[Batch], pool: str) -> dict[tuple[str, tuple[str, ...]], Value]:
    """The counters of a pool."""
    return {
        (sample.metric.name, sample.labels): plain(sample.value)
        for batch in batches
        for sample in batch.samples
        if sample.metric.kind in COUNTED and sample.metric.name in {metric.name for metric in METRICS}
        if sample.labels[0] == pool
    }


def use(engine: Engine) -> None:
    """Let everything happen that a pool counts and that an SQLite file can cause."""
    for _ in range(3):
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    for end in ("detach", "invalidate"):
        connection = engine.connect()
        getattr(connection, end)()
        connection.close()
    lost = engine.raw_connection()
    del lost
    gc.collect()
    engine.dispose()
    with engine.connect():
        pass


def same(monitor: PoolMonitor) -> None:
    """Compare what the pool tells itself with what others read."""
    own = counted(list(monitor.collect()), monitor.pool_name)
    assert counted(membership.collect(), monitor.pool_name) == own
    assert own["ha.pool.checkouts", (monitor.pool_name,)] == 7


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning", "ignore::ResourceWarning")
def test_others_read_what_the_pool_tells(engine: Engine) -> None:
    """Every counter and histogram, and none more."""
    monitor = instrument(engine, "core")
    assert monitor.in_cells
    use(engine)
    same(monitor)


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning", "ignore::ResourceWarning")
def test_a_pool_that_gets_another_name(engine: Engine) -> None:
    """What was counted under the first name is told under the second, and under the second alone."""
    instrument(engine, "first")
    use(engine)
    same(instrument(engine, "second"))
    assert counted(membership.collect(), "first") == {}


def test_connections_that_were_out_before(tmp_path: Path) -> None:
    """A pool that is instrumented while connections are out counts their return where others read it."""
    engine = create_engine(f"sqlite:///{tmp_path}/db", poolclass=QueuePool)
    early = engine.connect()
    monitor = instrument(engine, "late")
    early.close()
    seen = counted(membership.collect(), "late")
    assert seen == counted(list(monitor.collect()), "late")
    assert seen["ha.pool.checkins", ("late",)] == 1
    engine.dispose()


def test_what_was_counted_before_joining_is_told_too(tmp_path: Path) -> None:
    """A pool that has counted in ordinary memory goes on there, and is written down before anybody is told."""
    membership.leave_workers()
    engine = create_engine(f"sqlite:///{tmp_path}/db", poolclass=QueuePool)
    monitor = instrument(engine, "early")
    for _ in range(2):
        engine.connect().close()
    membership.join_workers(tmp_path)
    engine.connect().close()
    assert not monitor.in_cells
    assert counted(membership.collect(), "early") == counted(list(monitor.collect()), "early")
    assert counted(membership.collect(), "early")["ha.pool.checkouts", ("early",)] == 3
    engine.dispose()


def test_an_uninstrumented_pool_leaves_its_counts(tmp_path: Path) -> None:
    """Its gauges go; what it had counted stays, as counters that go backwards would be taken for a restart."""
    engine = create_engine(f"sqlite:///{tmp_path}/db", poolclass=QueuePool)
    monitor = instrument(engine, "gone")
    engine.connect().close()
    monitor.uninstrument()
    assert counted(membership.collect(), "gone")["ha.pool.checkouts", ("gone",)] == 1
    engine.dispose()
