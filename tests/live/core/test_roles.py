"""Who leads, and how far the others are behind: seen at the next scrape after it changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from observability.lab.directory import StateDirectory
from observability.lab.pairs import PostgresPair, RedisPair
from observability.lab.ports import free_ports
from observability.lab.proxy import LineThread
from observability.lab.ready import await_true
from observability.lab.registry import Registry
from observability.metrics import Metric
from observability.probes.cluster import BACKLOG, LAG, MASTERS, PRIMARIES, REDIS_BACKLOG
from observability.probes.postgres.replication import RECEIVER_STREAMING
from observability.probes.postgres.server import ROLE
from observability.probes.postgres.timeline import TIMELINE
from observability.probes.redis import replication as redis_replication
from tests.live.core.conftest import Scrape, Scraping, postgres_target, redis_target
from tests.live.core.page import Page


class Replicated(NamedTuple):
    """A pair of this file alone, whose standby reaches its primary over a line."""

    pair: PostgresPair
    line: LineThread


@pytest.fixture(scope="module")
def replicated(lab_state: StateDirectory) -> Iterator[Replicated]:
    """A pair that may be promoted."""
    state = StateDirectory(Path(f"{lab_state.path}-roles"))
    state.claim()
    registry = Registry(state.path)
    ports = free_ports(("primary", "standby", "line"))
    with LineThread(ports["primary"], port=ports["line"]) as line:
        pair = PostgresPair.of(state, registry, ports=(ports["primary"], ports["standby"], ports["line"]))
        pair.start()
        yield Replicated(pair, line)
        pair.stop()
    registry.stop_all()
    state.remove()
    state.release()


def role(page: Page, metric: Metric, server: str) -> str:
    """The role of a server."""
    (current,) = [labels["role"] for labels, value in page.having(metric, server=server) if value == 1]
    return current


async def until(scrape: Scrape, metric: Metric, server: str, least: float, most: float = float("inf")) -> Page:
    """The first page on which the metric lies between two values."""
    for _ in range(300):
        page = await scrape(5)
        value = page.value(metric, server=server)
        if value is not None and least <= value <= most:
            return page
    raise AssertionError(f"{metric.prometheus_name} was {value} in the end")


async def test_postgres_lag_and_promotion(replicated: Replicated, scraping: Scraping) -> None:
    """
    A standby that is cut off falls behind in bytes and seconds, catches up, is promoted.

    Then two servers call themselves primary, and lag against "the" primary is unknown.
    """
    pair, line = replicated
    scrape = scraping(postgres_target(pair.primary), postgres_target(pair.standby))
    page = await until(scrape, BACKLOG, "pg-2", 0, 0)
    assert [role(page, ROLE, name) for name in ("pg-1", "pg-2")] == ["primary", "standby"]
    assert (page.value(PRIMARIES), page.value(LAG, server="pg-2")) == (1, 0)
    assert [page.value(TIMELINE, server=name) for name in ("pg-1", "pg-2")] == [1, 1]

    line.cut()
    pair.primary.sql("CREATE TABLE t AS SELECT generate_series(1, 10000) AS x")
    page = await until(scrape, LAG, "pg-2", 0.2)
    assert (page.value(BACKLOG, server="pg-2") or 0) > 100_000
    page = await until(scrape, RECEIVER_STREAMING, "pg-2", 0, 0)
    assert (page.value(LAG, server="pg-2") or 0) > 0.2

    line.resume()
    page = await until(scrape, BACKLOG, "pg-2", 0, 0)
    assert page.value(LAG, server="pg-2") == 0

    pair.standby.sql("SELECT pg_promote(true)")
    page = await scrape(5)
    assert [role(page, ROLE, name) for name in ("pg-1", "pg-2")] == ["primary", "primary"]
    assert (page.value(PRIMARIES), page.having(LAG), page.having(BACKLOG)) == (2, [], [])
    assert page.value(TIMELINE, server="pg-2") == 2

    pair.primary.stop()
    page = await scrape(5)
    assert (page.state("pg-1"), page.value(PRIMARIES), role(page, ROLE, "pg-2")) == ("refused", 1, "primary")


async def test_redis_takes_over(redis: RedisPair, scraping: Scraping) -> None:
    """A replica that is told to lead is a master at the next scrape, and a replica again when it is told so."""
    scrape = scraping(redis_target(redis.primary), redis_target(redis.replica))
    page = await until(scrape, REDIS_BACKLOG, "redis-2", 0)
    names, metric = ("redis-1", "redis-2"), redis_replication.ROLE
    assert [role(page, metric, name) for name in names] == ["master", "replica"]
    with redis.replica.client() as client:
        client.replicaof("NO", "ONE")
        page = await scrape()
        assert ([role(page, metric, name) for name in names], page.value(MASTERS)) == (["master", "master"], 2)
        assert page.having(REDIS_BACKLOG) == []
        client.replicaof("127.0.0.1", str(redis.primary.port))
        page = await scrape()
        assert ([role(page, metric, name) for name in names], page.value(MASTERS)) == (["master", "replica"], 1)
    assert await_true(redis.replica.replicates, timeout_seconds=15)
