"""Health of a server on a real PostgreSQL and a real Redis, whatever is done to them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis as syncredis
import redis.asyncio as aioredis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import create_engine, make_url
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from observability import HealthCheck, health_app, metrics_app
from observability.instrumentation.health import metrics
from observability.lab.pairs import PostgresPair, RedisPair
from observability.lab.postgres import APP
from tests.live.instrumentation.serving import ThreadServer, until

TIMEOUT_SECONDS = 0.8
WRONG = "not-the-password"
NAMES = ("async-pool", "async-connection", "sync-pool", "sync-connection", "async-redis", "sync-redis")
DATABASES = NAMES[:4]


class Service:
    """A server that depends on everything twice: for asyncio and for threads."""

    def __init__(self, postgres: PostgresPair, redis: RedisPair, password: str | None = None) -> None:
        url = make_url(postgres.primary.url(APP, APP)).set(password=password or postgres.primary.password(APP))
        queue: dict[str, Any] = {"pool_size": 1, "max_overflow": 1, "pool_timeout": 30, "pool_pre_ping": True}
        self.async_engine = create_async_engine(url.set(drivername="postgresql+asyncpg"), **queue)
        self.sync_engine = create_engine(url.set(drivername="postgresql+psycopg"), **queue)
        where: dict[str, Any] = {"password": password or redis.primary.password, "socket_connect_timeout": 5}
        self.async_redis = aioredis.Redis.from_url(redis.primary.url(), retry=AsyncRetry(NoBackoff(), 0), **where)
        self.sync_redis = syncredis.Redis.from_url(redis.primary.url(), retry=Retry(NoBackoff(), 0), **where)
        self.held: list[Any] = []

    def checks(self) -> list[HealthCheck]:
        """Each of them; results are never old."""
        options: dict[str, Any] = {"timeout_seconds": TIMEOUT_SECONDS, "ttl_seconds": 0.1}
        return [
            HealthCheck.pool(self.async_engine, "async-pool", **options),
            HealthCheck.connection(self.async_engine, "async-connection", **options),
            HealthCheck.pool(self.sync_engine, "sync-pool", **options),
            HealthCheck.connection(self.sync_engine, "sync-connection", **options),
            HealthCheck.redis(self.async_redis, "async-redis", **options),
            HealthCheck.redis(self.sync_redis, "sync-redis", **options),
        ]

    async def hold(self, _: Request) -> Response:
        """Take all connections of the pool for asyncio."""
        self.held += [await self.async_engine.connect() for _ in range(2)]
        return PlainTextResponse("held")

    async def let_go(self, _: Request) -> Response:
        """Return them."""
        while self.held:
            await self.held.pop().close()
        return PlainTextResponse("returned")

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Close everything at the end, what hangs included."""
        yield
        async with asyncio.timeout(10):
            await self.async_engine.dispose()
            await self.async_redis.aclose()
        self.sync_redis.close()
        self.sync_engine.dispose()

    def app(self) -> Starlette:
        """The endpoints."""
        routes = [Route("/hold", self.hold), Route("/let-go", self.let_go), Mount("/metrics", metrics_app())]
        return Starlette(routes=routes, lifespan=self.lifespan)


Serve = Callable[..., ThreadServer]


@pytest.fixture
def serve(postgres: PostgresPair, redis: RedisPair) -> Iterator[Callable[[str | None], ThreadServer]]:
    """Serve with a password, the right one if there is none."""
    servers: list[ThreadServer] = []

    def start(password: str | None = None) -> ThreadServer:
        service = Service(postgres, redis, password)
        app = health_app(*service.checks(), app=service.app(), verbose=True)
        servers.append(ThreadServer(app, "asyncio").__enter__())
        return servers[-1]

    yield start
    postgres.heal()
    redis.heal()
    for server in servers:
        server.__exit__()


def failures(server: ThreadServer) -> dict[str, str]:
    """The reasons of what fails now."""
    status, body = server.get("/healthz?verbose")
    found = {name: check["reason"] for name, check in json.loads(body)["checks"].items() if not check["ok"]}
    assert status == (503 if found else 200)
    return found


def hung(server: ThreadServer, names: tuple[str, ...]) -> bool:
    """Whether these have no answer."""
    found = failures(server)
    return all(found.get(name) in {"timeout", "still_running", "hung"} for name in names)


def test_all_is_well(serve: Serve) -> None:
    """With everything there, everything is well, in metrics too."""
    server = serve()
    until(lambda: failures(server) == {})
    assert server.get("/readyz")[0] == 200
    assert {(found["check"], value) for found, value in server.scrape(metrics.SUCCESS)} == {(each, 1) for each in NAMES}
    assert server.value(metrics.STATE, state="ready") == 1
    assert server.scrape(metrics.ERROR) == []


def test_a_database_that_hangs(serve: Serve, postgres: PostgresPair) -> None:
    """A frozen server costs each check its timeout, and the server itself nothing; when it thaws, all is well."""
    server = serve()
    until(lambda: failures(server) == {})
    postgres.primary.process.freeze()
    until(lambda: hung(server, DATABASES))
    for _ in range(3):
        assert server.get("/livez")[0] == 200
        assert server.get("/readyz")[0] == 200
        assert hung(server, DATABASES)
    assert {found["check"] for found, value in server.scrape(metrics.SUCCESS) if value == 0} >= set(DATABASES)
    postgres.primary.process.thaw()
    until(lambda: failures(server) == {})


def test_a_redis_that_hangs(serve: Serve, redis: RedisPair) -> None:
    """The same with Redis."""
    server = serve()
    until(lambda: failures(server) == {})
    redis.primary.process.freeze()
    until(lambda: hung(server, ("async-redis", "sync-redis")))
    assert server.get("/readyz")[0] == 200
    redis.primary.process.thaw()
    until(lambda: failures(server) == {})


def test_what_is_gone(serve: Serve, redis: RedisPair) -> None:
    """Nobody listens: that is a reason of its own."""
    server = serve()
    until(lambda: failures(server) == {})
    redis.primary.process.kill()
    until(lambda: failures(server) == {"async-redis": "refused", "sync-redis": "refused"})
    assert server.value(metrics.ERROR, check="sync-redis", reason="refused") == 1
    redis.heal()
    until(lambda: failures(server) == {})


def test_an_exhausted_pool(serve: Serve) -> None:
    """A pool without a free connection is told at once, not after its timeout of 30 s; newcomers are still let in."""
    server = serve()
    until(lambda: failures(server) == {})
    server.get("/hold")
    until(lambda: failures(server) == {"async-pool": "pool_exhausted"})
    assert server.value(metrics.DURATION, check="async-pool") < TIMEOUT_SECONDS
    server.get("/let-go")
    until(lambda: failures(server) == {})


def test_a_wrong_password(serve: Serve) -> None:
    """A password that is not taken is the reason, and nowhere in the answer."""
    server = serve(WRONG)
    until(lambda: failures(server) == dict.fromkeys(NAMES, "auth"))
    _, text = server.get("/healthz?verbose", accept="text/plain")
    _, body = server.get("/healthz?verbose")
    _, page = server.get("/metrics/")
    assert WRONG not in text + body + page
    assert APP not in text
