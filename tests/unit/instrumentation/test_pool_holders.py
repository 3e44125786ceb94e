"""Who holds connections, and where they were taken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.orm import Session

from observability.instrumentation.pool.monitor import instrument


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine."""
    engine = create_engine(f"sqlite:///{tmp_path}/holders.db", pool_size=20)
    yield engine
    engine.dispose()


def place_order(engine: Engine) -> object:
    """Take a connection and keep it."""
    return engine.connect()


def test_are_told_by_place(engine: Engine) -> None:
    """Connections that were taken at one place are one line, the longest held first."""
    monitor = instrument(engine, debug=True)
    orders = [place_order(engine) for _ in range(3)]
    other = engine.connect()
    first, second = monitor.holders()
    assert (first.connections, second.connections) == (3, 1)
    assert first.place[0].startswith(f"{__file__}:")
    assert first.place[0].endswith(" in place_order")
    assert second.place[0].endswith(" in test_are_told_by_place")
    assert first.oldest_seconds > second.oldest_seconds > 0
    del orders, other


def test_are_found_behind_a_session(engine: Engine) -> None:
    """The code of SQLAlchemy is skipped: the place is the application's."""
    monitor = instrument(engine, debug=True)
    with Session(engine) as session:
        session.connection()
        (holders,) = monitor.holders()
        assert holders.place[0].endswith(" in test_are_found_behind_a_session")
    assert monitor.holders() == []


def test_have_no_place_without_debug(engine: Engine) -> None:
    """Who holds how long is known all the same."""
    monitor = instrument(engine)
    with engine.connect(), engine.connect():
        (holders,) = monitor.holders()
        assert (holders.place, holders.connections) == ((), 2)
        assert holders.oldest_seconds > 0


def test_debug_can_be_switched_on_later(engine: Engine) -> None:
    """What is taken from then on has a place."""
    monitor = instrument(engine)
    with engine.connect():
        instrument(engine, debug=True)
        with engine.connect():
            places = {holders.place != () for holders in monitor.holders()}
    assert places == {True, False}


def test_debug_survives_dispose(engine: Engine) -> None:
    """The pool that follows notes places too."""
    monitor = instrument(engine, debug=True)
    engine.dispose()
    with engine.connect():
        (holders,) = monitor.holders()
        assert holders.place


def test_debug_may_be_a_sample(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A share of the connections has a place."""
    chances = iter([0.05, 0.5])
    monkeypatch.setattr("observability.instrumentation.pool.classes.random", lambda: next(chances))
    monitor = instrument(engine, debug=0.1)
    with engine.connect(), engine.connect():
        assert sorted((len(holders.place) > 0, holders.connections) for holders in monitor.holders()) == [
            (False, 1),
            (True, 1),
        ]


class TestAsync:
    """Under asyncio, SQLAlchemy runs in a greenlet, whose stack ends at its start."""

    @pytest.fixture
    async def engine(self, tmp_path: Path) -> AsyncEngine:
        """An engine for asyncio."""
        return create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/holders.db")

    async def test_place_is_the_coroutine(self, engine: AsyncEngine) -> None:
        """The line that awaits the connection, and the one that awaits that."""

        async def place_order() -> AsyncConnection:
            return await engine.connect()

        monitor = instrument(engine, debug=True)
        connection = await place_order()
        (holders,) = monitor.holders()
        assert [each.rsplit(" in ")[-1] for each in holders.place[:2]] == ["place_order", "test_place_is_the_coroutine"]
        await connection.close()
        await engine.dispose()
