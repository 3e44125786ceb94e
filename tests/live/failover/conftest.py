"""Journals, controllers and their web application for tests, in the event loop of the test."""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette

from observability.connect import Secret, Target
from observability.failover.controller import Controller
from observability.failover.journal import Incident, Journal
from observability.failover.model import Alert
from observability.lab.pairs import PostgresPair
from observability.lab.postgres import MONITOR, Postgres


def target(server: Postgres, *, port: int | None = None) -> Target:
    """A server as the controller knows it; another port leads through a line."""
    return Target(
        name=server.name,
        system="postgres",
        cluster="demo",
        host="127.0.0.1",
        port=port or server.port,
        user=MONITOR,
        password=Secret(path=server.password_file()),
    )


def no_primary(fingerprint: str = "a1b2c3d4e5f60718", *, firing: bool = True, starts_at: float | None = None) -> Alert:
    """The alert that asks for a failover of the cluster `demo`, from now on."""
    return Alert(
        fingerprint=fingerprint,
        name="PostgresNoPrimary",
        cluster="demo",
        action="failover",
        severity="page",
        firing=firing,
        starts_at=time.time() if starts_at is None else starts_at,
    )


async def until(condition: Callable[[], bool | Awaitable[bool]], *, within: float = 20) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(within):
        while True:
            now = condition()
            if now if isinstance(now, bool) else await now:
                return
            await asyncio.sleep(0.02)


async def decided(journal: Journal, wanted: Callable[[Incident], bool], *, within: float = 30) -> Incident:
    """The first incident, as soon as it is as wanted."""
    last = None
    try:
        async with asyncio.timeout(within):
            while True:
                last = await journal.incident(1)
                if last is not None and wanted(last):
                    return last
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"after {within} s the incident is still {last}") from None


@asynccontextmanager
async def running(controller: Controller) -> AsyncIterator[Controller]:
    """The controller at work."""
    task = asyncio.create_task(controller.run())
    try:
        yield controller
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled() and (error := task.exception()):
            raise error


@asynccontextmanager
async def serving(app: Starlette) -> AsyncIterator[str]:
    """The application on a port of loopback; gives its URL."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve(sockets=[listening]))
    await until(lambda: server.started or task.done())
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listening.close()


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    """An empty journal in a file."""
    opened = await Journal.open(f"sqlite+aiosqlite:///{tmp_path}/journal.db")
    yield opened
    await opened.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def journal_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a journal can be made: once a file, once a database of its own."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path}/journal.db"
        return
    pair: PostgresPair = request.getfixturevalue("postgres")
    name = f"journal_{secrets.token_hex(4)}"
    pair.primary.sql(f"CREATE DATABASE {name}")
    yield f"postgresql+asyncpg://postgres:{pair.primary.password('postgres')}@127.0.0.1:{pair.primary.port}/{name}"
    pair.primary.sql(f"DROP DATABASE {name} WITH (FORCE)")
