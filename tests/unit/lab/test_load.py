"""The load keeps an honest account of what it sent."""

from __future__ import annotations

from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from observability.lab.load import Account, Load, LoadConfig


async def fine(_: Request) -> Response:
    """An answer that acknowledges."""
    return JSONResponse({}, status_code=201)


async def broken(_: Request) -> Response:
    """An answer that refuses."""
    return JSONResponse({}, status_code=503)


SERVER = Starlette(
    routes=[Route("/items", fine), Route("/items", broken, methods=["POST"]), Route("/sessions/{id}", fine)]
)


async def test_answers_and_failures_are_counted_by_kind(tmp_path: Path) -> None:
    """What the server acknowledged and what it refused are kept apart, and the file says the same."""
    config = LoadConfig(urls=["http://server"], rate=500, report=str(tmp_path / "load.json"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(SERVER)) as client:
        load = Load(config, client)
        await load.run(requests=10)
    account = Account.read(tmp_path / "load.json")
    assert account == load.account
    assert (account.answered, account.failed) == (
        {"read": 4, "write": 0, "session": 2},
        {"read": 0, "write": 4, "session": 0},
    )
    assert (account.failed_writes, account.last_failure) == (4, "write: status 503")


async def test_a_server_that_is_away_is_a_failure(tmp_path: Path) -> None:
    """A refused connection counts as failed and says why."""
    config = LoadConfig(urls=["http://127.0.0.1:1"], rate=500, report=str(tmp_path / "load.json"))
    async with httpx.AsyncClient(trust_env=False) as client:
        load = Load(config, client)
        await load.run(requests=1)
    assert (load.account.failed["read"], load.account.last_failure) == (1, "read: ConnectError")


def test_no_account_is_none(tmp_path: Path) -> None:
    """Before the first second there is nothing to read."""
    assert Account.read(tmp_path / "load.json") is None
