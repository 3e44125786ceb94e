"""
PostgreSQL by asyncpg: the driver whose calls return in time from a frozen server.

A statement that is merely slow is cancelled by the server (`statement_timeout`), and the connection stays; a server that
does not answer at all is left by `terminate()`, which waits for nothing.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Sequence
from typing import Any, TypeGuard

import asyncpg

from observability.connect import tls
from observability.connect.failures import failure, network_reason
from observability.connect.target import Target
from observability.errors import Reason, TargetError
from observability.probes.probe import Answer, Facts, Failure, Question

_SLOW_SHARE = 0.8
"""Share of the target's timeout after which the server itself cancels a statement: below 1, so that slow is not hung."""

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""What every PostgreSQL answers with S or N (https://www.postgresql.org/docs/current/protocol-message-formats.html)."""

_BY_SQLSTATE = {
    "28": Reason.AUTH,
    "3D000": Reason.DATABASE,
    "42501": Reason.PERMISSION,
    "53300": Reason.TOO_MANY_CONNECTIONS,
    "55P03": Reason.SLOW,
    "57014": Reason.SLOW,
    "57P01": Reason.STOPPING,
    "57P02": Reason.STOPPING,
    "57P03": Reason.STARTING,
}


class PostgresConnection:
    """A kept session. Read-only, with statement and lock timeouts set by the server."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        version = connection.get_server_version()
        self.facts = Facts(version=version.major * 10_000 + version.minor)
        self._lost = False

    @property
    def usable(self) -> bool:
        """False once a statement hung or the line is gone."""
        return not (self._lost or self._connection.is_closed())

    async def ask(self, questions: Sequence[Question], timeout: float) -> list[Answer | Failure]:
        """The rows of each statement; after a lost connection the rest fail for the same reason."""
        deadline = time.monotonic() + timeout
        outcomes: list[Answer | Failure] = []
        for question in questions:
            outcome = await self._ask(str(question), deadline)
            if _is(outcome, Reason.HUNG) and any(_is(earlier, Reason.SLOW) for earlier in outcomes):
                outcome = outcome._replace(reason=Reason.LATE)  # the server is alive, but has used up the time
            outcomes.append(outcome)
            if not self.usable:
                last = outcomes[-1]
                reason = last.reason if isinstance(last, Failure) else Reason.CLOSED
                rest = Failure(reason, "not asked: the connection was lost on an earlier question")
                return outcomes + [rest] * (len(questions) - len(outcomes))
        return outcomes

    async def _ask(self, statement: str, deadline: float) -> Answer | Failure:
        started = time.monotonic()
        left = deadline - started
        if left <= 0:
            return Failure(Reason.LATE, "not asked: no time was left")
        try:
            rows = await self._connection.fetch(statement, timeout=left)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            reason = _reason(error)
            if reason is Reason.PROTOCOL and self._connection.is_closed():
                reason = Reason.CLOSED  # asyncpg calls a line that breaks in mid-answer a protocol error
            self._lost = self._lost or reason in {Reason.HUNG, Reason.CLOSED, Reason.PROTOCOL, Reason.STOPPING}
            return failure(error, reason, time.monotonic() - started)
        return Answer(rows, time.monotonic() - started)

    def abort(self) -> None:
        """Drop the socket; the server notices by itself."""
        self._lost = True
        self._connection.terminate()


async def connect(target: Target, timeout: float) -> PostgresConnection | Failure:
    """A session with `target`, or why there is none, within `timeout` seconds."""
    started = time.monotonic()
    statement_timeout = str(max(1, int(target.timeout_seconds * _SLOW_SHARE * 1000)))
    try:
        context = tls.context(target.tls)
        if context is None:
            async with asyncio.timeout(timeout):
                await _require_postgres(target)
        connection = await asyncpg.connect(
            host=target.host,
            port=target.port or 5432,
            user=target.user or None,
            password=target.password.reveal() or "",  # None would send whatever PGPASSWORD holds to this target
            database=target.database or "postgres",
            target_session_attrs="any",  # whatever PGTARGETSESSIONATTRS says: it is this server that is watched
            ssl="prefer" if target.tls.mode == "prefer" and target.tls.ca_file is None else context or False,
            timeout=max(0.001, timeout - (time.monotonic() - started)),
            server_settings={
                "application_name": "ha-observability",
                "statement_timeout": statement_timeout,
                "lock_timeout": statement_timeout,
                "default_transaction_read_only": "on",
                "jit": "off",
            },
        )
    except asyncio.CancelledError:
        raise
    except Exception as error:  # noqa: BLE001 -- the border around a driver: whatever it raises is a reason, never a crash
        reason = _reason(error)
        if reason is Reason.TLS and target.tls.mode == "prefer" and "rejected SSL" in str(error):
            reason = Reason.PROTOCOL  # a PostgreSQL without TLS says so politely, and asyncpg goes on without
        return failure(error, reason, time.monotonic() - started)
    return PostgresConnection(connection)


async def _require_postgres(target: Target) -> None:
    """
    Ask the server whether it is a PostgreSQL, as asyncpg itself does where TLS is not switched off.

    An answer that begins with a zero byte would keep asyncpg's parser, and with it the whole exporter, busy for ever.

    Raises:
        TargetError: when something else answers.

    """
    reader, writer = await asyncio.open_connection(target.host, target.port or 5432)
    try:
        writer.write(_SSL_REQUEST)
        if await reader.read(16) not in {b"S", b"N"}:
            raise TargetError(Reason.PROTOCOL, "what answers there is not a PostgreSQL server")
    finally:
        writer.transport.abort()


def _is(outcome: Answer | Failure, reason: Reason) -> TypeGuard[Failure]:
    return isinstance(outcome, Failure) and outcome.reason is reason


def _reason(error: BaseException) -> Reason:
    if isinstance(error, asyncpg.PostgresError):
        return _sqlstate_reason(error)
    if isinstance(error, ConnectionError) and "SSL" in str(error):
        return Reason.TLS if "rejected" in str(error) else Reason.ERROR
    if isinstance(error, asyncpg.InternalClientError):
        return Reason.PROTOCOL
    if isinstance(error, asyncpg.InterfaceError):
        return Reason.CLOSED
    return network_reason(error) or Reason.ERROR


def _sqlstate_reason(error: Any) -> Reason:
    state = error.sqlstate or ""
    if state == "57P03" and "shutting down" in str(error):
        return Reason.STOPPING
    if state.startswith("08"):
        return Reason.PROTOCOL if state == "08P01" else Reason.CLOSED
    return _BY_SQLSTATE.get(state) or _BY_SQLSTATE.get(state[:2], Reason.ERROR)
