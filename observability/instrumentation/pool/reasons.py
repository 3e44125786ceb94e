"""From what drivers, asyncio and SQLAlchemy raise to short fixed lists of reasons, so that a reason can be a label."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from enum import Enum
from typing import Final, TypeAlias

from sqlalchemy import exc

from observability.errors import Reason
from observability.instrumentation.pool.metrics import Invalidation

READ_ONLY = "25006"
"""SQLSTATE `read_only_sql_transaction`: the server is a standby, or the transaction is read-only."""


class Outcome(Enum):
    """How a request for a connection ended that was not the database's doing."""

    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"


Failure: TypeAlias = Outcome | Reason

_BY_STATE: Final = {
    "28000": Reason.AUTH,
    "28P01": Reason.AUTH,
    "3D000": Reason.DATABASE,
    "42501": Reason.PERMISSION,
    "53300": Reason.TOO_MANY_CONNECTIONS,
    "57P01": Reason.STOPPING,
    "57P02": Reason.STOPPING,
    "57P03": Reason.STARTING,
    "08001": Reason.REFUSED,
    "08003": Reason.CLOSED,
    "08006": Reason.CLOSED,
}
_UNREACHABLE: Final = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EADDRNOTAVAIL}
# libpq gives neither a SQLSTATE nor an errno for a connection that was not opened, only its text; where it is in
# another language than English the reason is `error`. The first that is found counts: the specific ones stand first.
_BY_TEXT: Final = (
    ("shutting down", Reason.STOPPING),
    ("starting up", Reason.STARTING),
    ("not yet accepting connections", Reason.STARTING),
    ("too many clients", Reason.TOO_MANY_CONNECTIONS),
    ("too many connections", Reason.TOO_MANY_CONNECTIONS),
    ("remaining connection slots", Reason.TOO_MANY_CONNECTIONS),
    ("authentication failed", Reason.AUTH),
    ("no password supplied", Reason.AUTH),
    ("no pg_hba.conf entry", Reason.AUTH),
    ("permission denied", Reason.PERMISSION),
    ("unable to open database file", Reason.DATABASE),
    ("connection refused", Reason.REFUSED),
    ("connect call failed", Reason.REFUSED),
    ("timeout expired", Reason.HUNG),
    ("timed out", Reason.HUNG),
    ("could not translate host name", Reason.DNS),
    ("failed to resolve host", Reason.DNS),
    ("no route to host", Reason.UNREACHABLE),
    ("network is unreachable", Reason.UNREACHABLE),
    ("ssl", Reason.TLS),
    ("certificate", Reason.TLS),
    ("closed the connection", Reason.CLOSED),
    ("connection reset", Reason.CLOSED),
    ("does not exist", Reason.DATABASE),
)


def outcome(error: BaseException) -> Failure:
    """Why a request for a connection ended without one."""
    if isinstance(error, exc.TimeoutError):
        return Outcome.TIMED_OUT
    if not isinstance(error, Exception):
        return Outcome.CANCELLED
    causes = tuple(_chain(error))
    for find in (_by_state, _by_type, _by_text):
        for cause in causes:
            if reason := find(cause):
                return reason
    return Reason.ERROR


def invalidation(error: BaseException | None, database_error: type[BaseException]) -> Invalidation:
    """Why a connection was invalidated, from the exception that SQLAlchemy gives and the driver's class of errors."""
    if error is None:
        return Invalidation.REQUESTED
    if isinstance(error, exc.InvalidatePoolError):
        return Invalidation.PRE_PING
    if not isinstance(error, Exception):
        return Invalidation.CANCELLED
    if isinstance(error, exc.DisconnectionError | database_error | OSError):
        return Invalidation.DISCONNECT
    return Invalidation.ERROR


def sqlstate(error: BaseException | None) -> str | None:
    """The SQLSTATE that a driver gives to an error, by whichever name the driver has for it."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return state if isinstance(state, str) else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what caused it; short, as a chain may be circular."""
    for _ in range(5):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _by_state(error: BaseException) -> Reason | None:
    return _BY_STATE.get(sqlstate(error) or "")


def _by_type(error: BaseException) -> Reason | None:
    if isinstance(error, ssl.SSLError):
        return Reason.TLS
    if isinstance(error, socket.gaierror):
        return Reason.DNS
    if isinstance(error, TimeoutError):
        return Reason.HUNG
    if isinstance(error, ConnectionRefusedError):
        return Reason.REFUSED
    if isinstance(error, ConnectionError | EOFError):
        # asyncpg has no class of its own for a server that does not speak TLS.
        return Reason.TLS if "SSL" in str(error) else Reason.CLOSED
    if isinstance(error, OSError) and error.errno in _UNREACHABLE:
        return Reason.UNREACHABLE
    return None


def _by_text(error: BaseException) -> Reason | None:
    text = str(error).lower()
    return next((reason for words, reason in _BY_TEXT if words in text), None)
