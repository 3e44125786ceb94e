"""Which server a pool's connections lead to, and whether it takes writes: a pool can stay on a server that was demoted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy.pool import AsyncAdaptedQueuePool, QueuePool

from observability.instrumentation.pool import metrics, monitor
from observability.lab.pairs import PostgresPair
from tests.live.instrumentation.conftest import HOST, Overseer, PostgresDatabase
from tests.live.instrumentation.rig import Rig

DRIVERS = ("postgresql+psycopg", "postgresql+asyncpg", "postgresql+psycopg_async")


def rig_on(database: PostgresDatabase, driver: str) -> Rig:
    """A rig on a queue pool."""
    return Rig(database, driver, QueuePool if driver == "postgresql+psycopg" else AsyncAdaptedQueuePool)


def told(rig: Rig) -> dict[tuple[str, ...], float]:
    """How many connections lead to each node, by role, address and port."""
    return {labels: value for (metric, labels), value in rig.samples().items() if metric is metrics.SERVER_CONNECTIONS}


@pytest.mark.parametrize("driver", DRIVERS)
async def test_connections_are_told_by_server(
    make_rig: Callable[..., Rig], driver: str, postgres_pair: PostgresPair
) -> None:
    """Each open connection is counted at its server, and no more when it is closed."""
    rig = make_rig(driver, QueuePool if driver == "postgresql+psycopg" else AsyncAdaptedQueuePool)
    assert told(rig) == {}
    both = [await rig.take(), await rig.take()]
    assert told(rig) == {("primary", HOST, str(postgres_pair.primary.port)): 2}
    for connection in both:
        await rig.give(connection)
    assert told(rig) == {("primary", HOST, str(postgres_pair.primary.port)): 2}
    await rig.dispose()
    assert told(rig) == {}


async def test_promotion_is_seen(postgres: PostgresPair, overseer: Overseer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A standby that is promoted is told as a primary once its connections have been used again."""
    monkeypatch.setattr(monitor, "LOOK_SECONDS", 0.0)
    port = postgres.standby.port
    rigs = [rig_on(PostgresDatabase(postgres.standby, overseer), driver) for driver in DRIVERS]
    for rig in rigs:
        connection = await rig.take()
        assert told(rig) == {("standby", HOST, str(port)): 1}
        await rig.give(connection)
    postgres.standby.sql("SELECT pg_promote()")
    for rig in rigs:
        connection = await rig.take()
        await rig.execute(connection, "SELECT 1")
        await rig.give(connection)
        assert told(rig) == {("primary", HOST, str(port)): 1}
        await rig.dispose()
