"""
A small but honest server, as a team would run two of: PostgreSQL through a SQLAlchemy pool, Redis for its sessions.

`python -m observability.lab.server CONFIG` serves it; `build` makes the app for a configuration.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import redis.asyncio as aioredis
import uvicorn
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from sqlalchemy import make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from observability import instrument, metrics_app
from observability.lab.ports import HOST
from observability.lab.server_config import MAX_OVERFLOW, POOL_SIZE, POOL_TIMEOUT_SECONDS, ServerConfig

STATEMENT_SECONDS = 3
_CONNECT_SECONDS = 2
_HEALTH_SECONDS = 0.5
_LONGEST_SECONDS = 600
_NAP_SECONDS = 0.5
_SESSION_SECONDS = 600


class Service:
    """The endpoints, and what they share."""

    def __init__(self, config: ServerConfig) -> None:
        self.name = config.name
        self.engine: AsyncEngine = create_async_engine(
            make_url(config.database).set(password=Path(config.database_password_file).read_text()),
            pool_size=POOL_SIZE,
            max_overflow=MAX_OVERFLOW,
            pool_timeout=POOL_TIMEOUT_SECONDS,
            pool_pre_ping=True,
            connect_args={"timeout": _CONNECT_SECONDS, "command_timeout": STATEMENT_SECONDS},
        )
        self.redis = aioredis.Redis.from_url(
            config.redis,
            password=Path(config.redis_password_file).read_text(),
            socket_timeout=1,
            socket_connect_timeout=1,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        self._asking: dict[str, asyncio.Task[object]] = {}
        self._leaks: set[asyncio.Task[None]] = set()
        self.monitor = instrument(self.engine, pool_name="core")

    async def close(self) -> None:
        """Give back every connection."""
        await asyncio.gather(*self._asking.values(), return_exceptions=True)
        await self.plug()
        self.monitor.uninstrument()
        await self.engine.dispose()
        await self.redis.aclose()

    async def ping(self, _: Request) -> JSONResponse:
        """Answer without asking anybody."""
        return JSONResponse({"server": self.name})

    async def readyz(self, _: Request) -> JSONResponse:
        """
        Whether this process may get traffic.

        A dependency that all servers share is no reason to say no: no other server would do better without it.
        """
        return JSONResponse({"server": self.name, "ready": True})

    async def healthz(self, _: Request) -> JSONResponse:
        """Whether requests can be answered, found out in the way a request goes: through the pool and to Redis."""
        database, sessions = await asyncio.gather(
            self._check("database", self._ask_database), self._check("redis", self._ask_redis)
        )
        failed = [name for name, check in (("database", database), ("redis", sessions)) if not check["ok"]]
        body = {"server": self.name, "failed": failed, "checks": {"database": database, "redis": sessions}}
        return JSONResponse(body, status_code=503 if failed else 200)

    async def items(self, _: Request) -> JSONResponse:
        """The latest items."""
        async with self.engine.connect() as connection:
            rows = await connection.execute(text("SELECT id, name, server FROM items ORDER BY id DESC LIMIT 10"))
            return JSONResponse([dict(row) for row in rows.mappings()])

    async def add_item(self, request: Request) -> JSONResponse:
        """Write an item; 201 means that the database has committed it."""
        name = str((await request.json())["name"])
        async with self.engine.begin() as connection:
            statement = text("INSERT INTO items (name, server) VALUES (:name, :server) RETURNING id")
            number = (await connection.execute(statement, {"name": name, "server": self.name})).scalar_one()
        return JSONResponse({"id": number, "server": self.name}, status_code=201)

    async def session(self, request: Request) -> JSONResponse:
        """Count a visit of a session that all servers share."""
        key = f"session:{request.path_params['id']}"
        visits = await self.redis.incr(key)
        await self.redis.expire(key, _SESSION_SECONDS)
        return JSONResponse({"visits": visits, "server": self.name})

    async def slow(self, request: Request) -> JSONResponse:
        """Work in one transaction for a while."""
        seconds = _seconds(request)
        async with self.engine.connect() as connection:
            await _work(connection, seconds)
        return JSONResponse({"seconds": seconds})

    async def leak(self, request: Request) -> JSONResponse:
        """Take connections from the pool and keep them for a while, as a bug would; tells how many it got."""
        seconds, wanted = _seconds(request), int(request.query_params.get("connections", 1))
        tried = await asyncio.gather(*(self.engine.connect().start() for _ in range(wanted)), return_exceptions=True)
        taken = [connection for connection in tried if isinstance(connection, AsyncConnection)]
        for connection in taken:
            task = asyncio.create_task(_hold(connection, seconds))
            self._leaks.add(task)
            task.add_done_callback(self._leaks.discard)
        return JSONResponse({"connections": len(taken), "seconds": seconds})

    async def unleak(self, _: Request) -> JSONResponse:
        """Give back what `leak` keeps."""
        return JSONResponse({"connections": await self.plug()})

    async def plug(self) -> int:
        """End the leaks and give how many there were."""
        leaks = list(self._leaks)
        for task in leaks:
            task.cancel()
        await asyncio.gather(*leaks, return_exceptions=True)
        return len(leaks)

    async def _check(self, name: str, ask: Callable[[], Coroutine[None, None, object]]) -> dict[str, object]:
        """
        Ask a dependency, and answer in time even if the driver cannot give up in time.

        A question that is still under way is waited for, so that they do not pile up at a store that hangs.
        """
        began = time.perf_counter()
        task = self._asking.get(name)
        if task is None:
            task = self._asking[name] = asyncio.create_task(ask())
            task.add_done_callback(lambda _: self._asking.pop(name))
        await asyncio.wait({task}, timeout=_HEALTH_SECONDS)
        if not task.done():
            return {"ok": False, "error": f"no answer within {_HEALTH_SECONDS} s"}
        if error := task.exception():
            return {"ok": False, "error": type(error).__name__}
        return {"ok": True, "seconds": time.perf_counter() - began}

    async def _ask_database(self) -> None:
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def _ask_redis(self) -> None:
        await self.redis.ping()


def build(config: ServerConfig) -> Starlette:
    """The server as an ASGI app."""
    service = Service(config)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await service.close()

    return Starlette(
        routes=[
            Route("/ping", service.ping),
            Route("/readyz", service.readyz),
            Route("/healthz", service.healthz),
            Route("/items", service.items),
            Route("/items", service.add_item, methods=["POST"]),
            Route("/sessions/{id}", service.session),
            Route("/slow", service.slow),
            Route("/leak", service.leak, methods=["POST"]),
            Route("/leak", service.unleak, methods=["DELETE"]),
            Mount("/metrics", metrics_app()),
        ],
        exception_handlers={
            SQLAlchemyError: _failed("database"),
            OSError: _failed("database"),
            RedisError: _failed("redis"),
        },
        lifespan=lifespan,
    )


async def _hold(connection: AsyncConnection, seconds: float) -> None:
    try:
        await asyncio.sleep(seconds)
    finally:
        await connection.close()


async def _work(connection: AsyncConnection, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        await connection.execute(text("SELECT pg_sleep(:nap)"), {"nap": min(_NAP_SECONDS, left)})


def _failed(dependency: str) -> Callable[[Request, Exception], JSONResponse]:
    def answer(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"failed": [dependency], "error": type(error).__name__}, status_code=503)

    return answer


def _seconds(request: Request) -> float:
    return min(float(request.query_params.get("seconds", 1)), _LONGEST_SECONDS)


def main(path: str) -> None:
    """Serve until told to end."""
    config = ServerConfig(**json.loads(Path(path).read_text()))
    uvicorn.run(
        build(config), host=HOST, port=config.port, log_level="warning", access_log=False, timeout_graceful_shutdown=1
    )


if __name__ == "__main__":
    main(sys.argv[1])
