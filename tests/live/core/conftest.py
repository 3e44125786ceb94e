"""Targets and scrapers for the faults of real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from observability.connect import Secret, Target, open_connection
from observability.lab.pairs import PostgresPair, RedisPair
from observability.lab.ports import HOST
from observability.lab.postgres import MONITOR, Postgres
from observability.lab.redis import Redis
from observability.scrape import Scraper
from tests.live.core.page import Page

SCRAPE_SECONDS = 1.0
"""How long a look at a target may take in these tests."""


class Scrape:
    """A scraper whose pages can be asked for; its targets share the time of `SCRAPE_SECONDS`."""

    def __init__(self, targets: tuple[Target, ...]) -> None:
        self.scraper = Scraper(targets, open_connection)  # type: ignore[arg-type]  # connect's Target is the only one

    async def __call__(self, timeout: float = SCRAPE_SECONDS) -> Page:
        """One scrape."""
        return Page.rendered(await self.scraper.scrape(timeout))


Scraping = Callable[..., Scrape]


@pytest.fixture
async def scraping() -> AsyncIterator[Scraping]:
    """Makes a scraper of targets; its connections are dropped at the end."""
    made: list[Scrape] = []

    def make(*targets: Target) -> Scrape:
        made.append(Scrape(targets))
        return made[-1]

    yield make
    for each in made:
        await each.scraper.close()


def target(**more: Any) -> Target:
    """A target on this machine, with the usual time."""
    usual: dict[str, Any] = {"cluster": "demo", "host": HOST, "timeout_seconds": SCRAPE_SECONDS}
    return Target(**(usual | more))


def postgres_target(server: Postgres, **more: Any) -> Target:
    """A PostgreSQL server as the monitoring role sees it."""
    given: dict[str, Any] = {"name": server.name, "port": server.port, "user": MONITOR}
    return target(system="postgres", **(given | {"password": Secret(server.password())} | more))


def redis_target(server: Redis, **more: Any) -> Target:
    """A Redis server with its password."""
    given: dict[str, Any] = {"name": server.name, "port": server.port, "password": Secret(server.password)}
    return target(system="redis", **(given | more))


def http_target(port: int, **more: Any) -> Target:
    """An HTTP endpoint."""
    return target(**({"name": "web", "system": "http", "port": port, "url": f"http://{HOST}:{port}/healthz"} | more))


@pytest.fixture
def pairs(postgres: PostgresPair, redis: RedisPair) -> tuple[Target, Target, Target, Target]:
    """Both pairs as targets: pg-1, pg-2, redis-1, redis-2."""
    return (
        postgres_target(postgres.primary),
        postgres_target(postgres.standby),
        redis_target(redis.primary),
        redis_target(redis.replica),
    )
