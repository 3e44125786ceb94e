"""The servers that other tests rely on do what their fixtures promise."""

from __future__ import annotations

from collections.abc import Callable

import asyncpg
import pytest

from observability.lab.pairs import PostgresPair, RedisPair
from observability.lab.postgres import MONITOR
from observability.lab.proxy import LineThread

Lay = Callable[[int], LineThread]


async def monitor(pair: PostgresPair, port: int | None = None) -> asyncpg.Connection:
    """A connection of the monitoring role to the primary, perhaps over a line."""
    server = pair.primary
    return await asyncpg.connect(
        host="127.0.0.1",
        port=port or server.port,
        user=MONITOR,
        password=server.password(),
        database="postgres",
        timeout=2,
    )


async def test_monitor_role_reads_replication(postgres: PostgresPair) -> None:
    """The monitoring role sees the standby in the primary's replication view."""
    connection = await monitor(postgres)
    try:
        assert await connection.fetchval("SELECT application_name FROM pg_stat_replication") == "pg-2"
    finally:
        await connection.close()


def test_frozen_primary_is_thawed_after_the_test(postgres: PostgresPair) -> None:
    """A frozen server stops answering and is one of the things that the fixture puts right."""
    postgres.primary.process.freeze()
    assert not postgres.primary.answers()


def test_killed_primary_comes_back(postgres: PostgresPair) -> None:
    """A killed primary answers again after `heal`, with its standby streaming."""
    postgres.primary.process.kill()
    assert not postgres.primary.answers()
    postgres.heal()
    assert postgres.standby.replays()


def test_killed_redis_comes_back(redis: RedisPair) -> None:
    """A killed primary answers again after `heal`, with its replica linked."""
    redis.primary.process.kill()
    assert not redis.primary.answers()
    redis.heal()
    assert redis.replica.replicates()


async def test_stalled_line_holds_the_answer_back(postgres: PostgresPair, line: Lay) -> None:
    """A stalled line delays an answer for as long as it is stalled, and loses nothing."""
    lane = line(postgres.primary.port)
    connection = await monitor(postgres, lane.port)
    lane.stall()
    with pytest.raises(TimeoutError):
        await connection.fetchval("SELECT 1", timeout=0.2)
    connection.terminate()
    lane.resume()
    connection = await monitor(postgres, lane.port)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()


async def test_cut_line_resets_open_and_new_connections(postgres: PostgresPair, line: Lay) -> None:
    """A cut line ends what is open and lets nothing new through."""
    lane = line(postgres.primary.port)
    connection = await monitor(postgres, lane.port)
    lane.cut()
    with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
        await connection.fetchval("SELECT 1", timeout=2)
    connection.terminate()
    with pytest.raises((OSError, asyncpg.PostgresError)):
        await monitor(postgres, lane.port)


def test_promoted_standby_follows_again(postgres: PostgresPair) -> None:
    """A standby that was promoted beside its primary is rebuilt."""
    postgres.standby.sql("SELECT pg_promote()")
    assert not postgres.standby.in_recovery()
    postgres.heal()
    assert postgres.standby.in_recovery()


def test_paused_replay_goes_on(postgres: PostgresPair) -> None:
    """Replay that was paused is resumed."""
    postgres.standby.sql("SELECT pg_wal_replay_pause()")
    postgres.heal()
    assert postgres.standby.sql("SELECT pg_get_wal_replay_pause_state()") == "not paused"
