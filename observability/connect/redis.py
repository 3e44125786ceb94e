"""
Redis by redis-py's asyncio connection: all questions in one write, no hidden retries.

redis-py's client retries a frozen server for 15 s; its bare connection does exactly what it is told.
"""

from __future__ import annotations

import asyncio
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
from observability.errors import Reason, TargetError
from observability.probes.probe import Answer, Facts, Failure, Question

_BY_WORD = {
    "NOAUTH": Reason.AUTH,
    "WRONGPASS": Reason.AUTH,
    "NOPERM": Reason.PERMISSION,
    "LOADING": Reason.STARTING,
    "BUSY": Reason.SLOW,
    "MASTERDOWN": Reason.ERROR,
}


class RedisConnection:
    """A kept connection. Replies come in the order of the questions, which are sent as one pipeline."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.facts = Facts()
        self._lost = False

    @property
    def usable(self) -> bool:
        """False once a reply was late or the line is gone: later replies would be somebody else's."""
        return not self._lost

    async def ask(self, questions: Sequence[Question], timeout: float) -> list[Answer | Failure]:
        """The reply to each command; INFO as a mapping of its fields."""
        started = time.monotonic()
        outcomes: list[Answer | Failure] = []
        try:
            async with asyncio.timeout(timeout):
                await self._connection.send_packed_command(self._connection.pack_commands(questions))
                for question in questions:
                    outcomes.append(await self._reply(question, started))  # noqa: PERF401 -- what arrived before a failure counts
        except (OSError, exceptions.RedisError) as error:
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
        value = parse_info(reply) if question[0] == "INFO" else reply
        return Answer(value, time.monotonic() - started)

    def abort(self) -> None:
        """Drop the socket at once."""
        self._lost = True
        writer = self._connection._writer  # noqa: SLF001 -- the public disconnect() waits for the server
        if writer is not None:
            writer.transport.abort()


async def connect(target: Target, timeout: float) -> RedisConnection | Failure:
    """A connection to `target`, or why there is none, within `timeout` seconds."""
    started = time.monotonic()
    connection: Connection | None = None
    try:
        connection = _connection(target, timeout)
        async with asyncio.timeout(timeout):
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
    except asyncio.CancelledError:
        _drop(connection)
        raise
    except Exception as error:  # noqa: BLE001 -- the border around a driver: whatever it raises is a reason, never a crash
        _drop(connection)
        return failure(error, _reason(error), time.monotonic() - started)
    return RedisConnection(connection)


def _connection(target: Target, timeout: float) -> Connection:
    options: dict[str, Any] = {
        "host": target.host,
        "port": target.port or 6379,
        "db": int(target.database or 0),
        "username": target.user or None,
        "password": target.password.reveal(),
        "client_name": "ha-observability",
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
        "decode_responses": True,
        "protocol": 2,
    }
    if target.tls.mode in {"disable", "prefer"}:
        return Connection(**options)
    tls.context(target.tls)  # says which file is wrong before the driver does
    verify = target.tls.mode.startswith("verify")
    return SSLConnection(
        **options,
        ssl_ca_certs=str(target.tls.ca_file) if target.tls.ca_file else None,
        ssl_certfile=str(target.tls.cert_file) if target.tls.cert_file else None,
        ssl_keyfile=str(target.tls.key_file) if target.tls.key_file else None,
        ssl_cert_reqs="required" if verify or target.tls.ca_file else "none",
        ssl_check_hostname=target.tls.mode == "verify-full",
    )


def _drop(connection: Connection | None) -> None:
    writer = connection._writer if connection else None  # noqa: SLF001 -- see RedisConnection.abort
    if writer is not None:
        writer.transport.abort()


def _reason(error: BaseException) -> Reason:
    if isinstance(error, TargetError):
        return error.reason
    if isinstance(error, exceptions.AuthenticationError):
        return Reason.AUTH
    if isinstance(error, exceptions.BusyLoadingError):
        return Reason.STARTING
    if "max number of clients" in str(error):
        return Reason.TOO_MANY_CONNECTIONS
    if isinstance(error, exceptions.InvalidResponse):
        return Reason.PROTOCOL
    if isinstance(error, exceptions.ResponseError):
        return _BY_WORD.get(str(error).split(" ", 1)[0], Reason.ERROR)
    if isinstance(error, exceptions.TimeoutError):
        return Reason.HUNG
    if isinstance(error, exceptions.ConnectionError):
        return network_reason(error.__cause__ or error.__context__ or ConnectionError()) or Reason.CLOSED
    return network_reason(error) or Reason.ERROR


def parse_info(text: str) -> Mapping[str, str]:
    """`INFO`'s lines as a mapping; section headings are left out (https://redis.io/docs/latest/commands/info/)."""
    fields = (line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith("#"))
    return {name: value.strip() for name, value in fields}
