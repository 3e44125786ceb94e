"""
Real servers for tests, started once for a session and put right again after each test that broke them.

* `postgres`: `PostgresPair` with `.primary` and `.standby` (`Postgres`: `.port`, `.url(role, database)`,
  `.password(role)`, `.password_file(role)`, `.sql(...)`, `.process.freeze()/.thaw()/.kill()`);
* `redis`: `RedisPair` with `.primary` and `.replica` (`Redis`: `.port`, `.url()`, `.password`, `.password_file`, `.client()`);
* `line`: a function from a port to a `LineThread` (`.port`, `.stall()`, `.cut()`, `.slow(s)`, `.break_after(n)`, `.resume()`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from observability.lab.directory import StateDirectory, temporary_directory
from observability.lab.lab import clear_abandoned
from observability.lab.pairs import PostgresPair, RedisPair
from observability.lab.proxy import LineThread
from observability.lab.registry import Registry


@pytest.fixture(scope="session")
def lab_state() -> Iterator[StateDirectory]:
    """A state directory for the servers of this session; gone afterwards, at the latest when the next one starts."""
    clear_abandoned()
    state = StateDirectory(temporary_directory())
    state.claim()
    yield state
    state.remove()
    state.release()


@pytest.fixture(scope="session")
def lab_registry(lab_state: StateDirectory) -> Iterator[Registry]:
    """Starts processes for this session; none of them outlives it."""
    registry = Registry(lab_state.path)
    yield registry
    registry.stop_all()


@pytest.fixture(scope="session")
def postgres_pair(lab_state: StateDirectory, lab_registry: Registry) -> Iterator[PostgresPair]:
    """A streaming pair for the whole session; `HA_TEST_POSTGRES` chooses 16, 18 or system."""
    pair = PostgresPair.of(lab_state, lab_registry, version=os.environ.get("HA_TEST_POSTGRES", "16"))
    pair.start()
    yield pair
    pair.stop()


@pytest.fixture(scope="session")
def redis_pair(lab_state: StateDirectory, lab_registry: Registry) -> RedisPair:
    """A replicated pair for the whole session."""
    pair = RedisPair.of(lab_state, lab_registry)
    pair.start()
    return pair


@pytest.fixture
def postgres(postgres_pair: PostgresPair) -> Iterator[PostgresPair]:
    """The PostgreSQL pair; whatever a test did to it is put right afterwards."""
    yield postgres_pair
    postgres_pair.heal()


@pytest.fixture
def redis(redis_pair: RedisPair) -> Iterator[RedisPair]:
    """The Redis pair; whatever a test did to it is put right afterwards."""
    yield redis_pair
    redis_pair.heal()


@pytest.fixture
def line() -> Iterator[Callable[[int], LineThread]]:
    """Lay a line to a port that can be stalled, cut or slowed."""
    lines: list[LineThread] = []

    def lay(upstream: int) -> LineThread:
        lines.append(LineThread(upstream))
        return lines[-1]

    yield lay
    for each in lines:
        each.close()
