"""Asks Redis. The client is known by what it is called, so that nothing here imports redis-py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from observability.errors import InstrumentationError


def ping(client: Any) -> Callable[[], Any]:
    """Ask by a PING through the client's own connections."""
    if not callable(getattr(client, "ping", None)):
        raise InstrumentationError(f"a check of Redis needs a client of redis-py, not {type(client).__name__}")
    if not any(kind.__module__.startswith("redis.asyncio") for kind in type(client).__mro__):

        def ask() -> object:
            return client.ping()

        return ask

    async def ask_async() -> object:
        return await client.ping()

    return ask_async
