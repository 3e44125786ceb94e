"""
Redis by redis-py's asyncio connection: all questions in one write, no hidden retries.

redis-py's client retries a frozen server for 15 s; its bare connection does exactly what it is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from redis import exceptions
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from observability.connect import tls
from observability.connect.failures import failure, network_reason
from observability.connect.target import Target
from observability.errors import Reason
from observability.probes.probe import Answer, Facts, Failure, Question

_BY_TEXT = {"max number of clients": Reason.TOO_MANY_CONNECTIONS, "DB index": Reason.DATABASE}
_BY_TYPE: dict[type[Exception], Reason] = {
    exceptions.AuthenticationError: Reason.AUTH,
    exceptions.NoPermissionError: Reason.PERMISSION,
    exceptions.BusyLoadingError: Reason.STARTING,
    exceptions.InvalidResponse: Reason.PROTOCOL,
    exceptions.TimeoutError: Reason.HUNG,
    RuntimeError: Reason.CLOSED,  # uvloop's for a line that was closed meanwhile
    ValueError: Reason.PROTOCOL,
}
_BY_WORD = {"NOAUTH": Reason.AUTH, "WRONGPASS": Reason.AUTH, "BUSY": Reason.SLOW}
"""What redis-py has no type for, by the first word of the reply."""


class RedisConnection:
    """A kept connection. Replies come in the order of the questions, which are sent as one pipeline."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.facts = Facts()
        self._lost = False

    @property
    def usable(self) -> bool:
        """False once a reply was late or the line is gone: later replies would be somebody else's."""
        writer = self._connection._writer  # noqa: SLF001 -- is_connected stays true when the server hangs up
        return not (self._lost or writer is None or writer.is_closing())

    async def ask(self, questions: Sequence[Question], timeout: float) -> list[Answer | Failure]:
        """The reply to each command; INFO as a mapping of its fields."""
        started = time.monotonic()
        outcomes: list[Answer | Failure] = []
        try:
            async with asyncio.timeout(timeout):
                await self._connection.send_packed_command(self._connection.pack_commands(questions))
                for question in questions:
                    outcomes.append(await self._reply(question, started))  # noqa: PERF401 -- what arrived before a failure counts
        except (OSError, RuntimeError, ValueError, exceptions.RedisError) as error:
            self._lost = True
            missing = failure(error, _reason(error), time.monotonic() - started)
            outcomes += [missing] * (len(questions) - len(outcomes))
        except BaseException:
            self._lost = True
            raise
        return outcomes

    async def _reply(self, question: Question, started: float) -> Answer | Failure:
        try:
            reply = await self._connection.read_response()
        except exceptions.ResponseError as error:
            return failure(error, _reason(error), time.monotonic() - started)
        seconds = time.monotonic() - started
        if question[0] != "INFO":
            return Answer(reply, seconds)
        info = parse_info(reply) if isinstance(reply, str) else {}
        if "redis_version" not in info:
            return Failure(
                Reason.PROTOCOL, "what answers there is not a Redis server: its INFO names no version", seconds
            )
        return Answer(info, seconds)

    def abort(self) -> None:
        """Drop the socket at once."""
        self._lost = True
        _drop(self._connection)


async def connect(target: Target, timeout: float) -> RedisConnection | Failure:
    """A connection to `target`, or why there is none, within `timeout` seconds."""
    started = time.monotonic()
    connection: Connection | None = None
    try:
        connection = _connection(target, timeout)
        async with asyncio.timeout(timeout):
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
            await _introduce(connection)
    except asyncio.CancelledError:
        _drop(connection)
        raise
    except Exception as error:  # noqa: BLE001 -- the border around a driver: whatever it raises is a reason, never a crash
        _drop(connection)
        return failure(error, _reason(error), time.monotonic() - started)
    return RedisConnection(connection)


async def _introduce(connection: Connection) -> None:
    """Give the connection its name in CLIENT LIST, where our user may: one that may only INFO is enough to watch."""
    await connection.send_command("CLIENT", "SETNAME", "ha-observability")
    with contextlib.suppress(exceptions.ResponseError):
        await connection.read_response()


def _connection(target: Target, timeout: float) -> Connection:
    options: dict[str, Any] = {
        "host": target.host,
        "port": target.port or 6379,
        "db": int(target.database or 0),
        "username": target.user or None,
        "password": target.password.reveal(),
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
        "decode_responses": True,
        "encoding_errors": "replace",
        "protocol": 2,
    }
    if target.tls.mode in {"disable", "prefer"}:
        return Connection(**options)
    connection = SSLConnection(**options)
    # Ours, since redis-py's would trust the system's authorities beside the one that is given, and read them each time.
    connection.ssl_context.context = tls.context(target.tls)
    return connection


def _drop(connection: Connection | None) -> None:
    """Close without a word to the server: the public disconnect() waits for it."""
    writer = connection._writer if connection else None  # noqa: SLF001 -- see above
    if connection is not None and writer is not None:
        writer.transport.abort()
        connection._close()  # type: ignore[no-untyped-call]  # noqa: SLF001 -- else redis-py warns that it was left open


def _reason(error: BaseException) -> Reason:
    text = str(error)
    for part, reason in _BY_TEXT.items():
        if part in text:
            return reason
    for kind, reason in _BY_TYPE.items():
        if isinstance(error, kind):
            return reason
    if isinstance(error, exceptions.ResponseError):
        return _BY_WORD.get(text.split(" ", 1)[0], Reason.ERROR)
    if isinstance(error, exceptions.ConnectionError):
        return network_reason(error.__cause__ or error.__context__ or ConnectionError()) or Reason.CLOSED
    return network_reason(error) or Reason.ERROR


def parse_info(text: str) -> Mapping[str, str]:
    """`INFO`'s lines as a mapping; section headings are left out (https://redis.io/docs/latest/commands/info/)."""
    fields = (line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith("#"))
    return {name: value.strip() for name, value in fields}
