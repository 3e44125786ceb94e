"""A thing that can be asked whether it is well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from observability.instrumentation.health import database, redis

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

Ask: TypeAlias = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """
    A check of something that a server depends on.

    Args:
        name: the value of the label `check`.
        ask: a function or coroutine function; it fails by raising or by giving False. A function that is not a coroutine
            function runs in a thread of its own.
        timeout_seconds: when the check has failed; nobody waits longer.
        ttl_seconds: how long a result is given to those who ask, and how often it is renewed.
        critical: whether this server may get no traffic while the check fails. Only right for what this server alone
            depends on: where all servers lose the same dependency, no other would do better, and the balancer would be
            left with none.

    """

    name: str
    ask: Ask
    _: KW_ONLY
    timeout_seconds: float = 2.0
    ttl_seconds: float = 10.0
    critical: bool = False

    @classmethod
    def pool(cls, engine: Engine | AsyncEngine, name: str = "database", **options: Any) -> HealthCheck:
        """
        Through the pool of an engine, as a request goes.

        A pool that is used up fails the check at once, rather than making it one more that waits.
        """
        return cls(name, database.through_pool(engine), **options)

    @classmethod
    def connection(cls, engine: Engine | AsyncEngine, name: str = "database-connection", **options: Any) -> HealthCheck:
        """By a new connection beside the pool of an engine: whether the database lets newcomers in."""
        return cls(name, database.beside_pool(engine), **options)

    @classmethod
    def redis(cls, client: Any, name: str = "redis", **options: Any) -> HealthCheck:
        """By a PING of a client of redis-py, for threads or for asyncio."""
        return cls(name, redis.ping(client), **options)
