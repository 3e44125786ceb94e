"""Why a request for a connection failed, and why a connection was invalidated, as a word of a short list."""

from __future__ import annotations

import asyncio
import errno
import socket
import sqlite3
import ssl

import pytest
from sqlalchemy import exc

from observability.errors import Reason
from observability.instrumentation.pool.metrics import CONNECT_FAILURES, Invalidation
from observability.instrumentation.pool.reasons import Outcome, invalidation, outcome, sqlstate


class DriverError(Exception):
    """An error of a driver; psycopg and asyncpg call the SQLSTATE `sqlstate`, psycopg2 `pgcode`."""

    def __init__(self, text: str = "", *, state: str | None = None, pgcode: str | None = None) -> None:
        super().__init__(text)
        self.sqlstate = state
        self.pgcode = pgcode


def caused(error: Exception, by: Exception) -> Exception:
    """An error with its cause."""
    error.__cause__ = by
    return error


def circular() -> Exception:
    """Two errors that each name the other as their cause."""
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    return first


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (exc.TimeoutError("QueuePool limit of size 5 overflow 10 reached"), Outcome.TIMED_OUT),
        (asyncio.CancelledError(), Outcome.CANCELLED),
        (KeyboardInterrupt(), Outcome.CANCELLED),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), Reason.REFUSED),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 5432, 0, 0), …"), Reason.REFUSED),
        (OSError(errno.EHOSTUNREACH, "No route to host"), Reason.UNREACHABLE),
        (socket.gaierror(-2, "Name or service not known"), Reason.DNS),
        (ssl.SSLCertVerificationError("certificate verify failed"), Reason.TLS),
        (ConnectionError("PostgreSQL server at 'db:5432' rejected SSL upgrade"), Reason.TLS),
        (TimeoutError(), Reason.HUNG),
        (ConnectionResetError(), Reason.CLOSED),
        (DriverError(state="28P01"), Reason.AUTH),
        (DriverError(pgcode="3D000"), Reason.DATABASE),
        (DriverError(state="53300"), Reason.TOO_MANY_CONNECTIONS),
        (DriverError(state="57P03"), Reason.STARTING),
        (DriverError(state="57P01"), Reason.STOPPING),
        (DriverError('FATAL:  database "shop" does not exist'), Reason.DATABASE),
        (DriverError("FATAL:  the database system is starting up"), Reason.STARTING),
        (DriverError("FATAL:  sorry, too many clients already"), Reason.TOO_MANY_CONNECTIONS),
        (DriverError("connection timeout expired"), Reason.HUNG),
        (DriverError("FATAL:  désolé, trop de clients sont déjà connectés"), Reason.ERROR),
        (caused(exc.DBAPIError("SELECT 1", {}, DriverError()), DriverError(state="28P01")), Reason.AUTH),
        (circular(), Reason.ERROR),
        (sqlite3.OperationalError("unable to open database file"), Reason.DATABASE),
    ],
    ids=repr,
)
def test_outcome(error: BaseException, expected: object) -> None:
    """SQLSTATE goes before class, class before text, and what nothing tells is an error."""
    assert outcome(error) is expected
    assert isinstance(expected, Outcome) or expected in CONNECT_FAILURES


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, Invalidation.REQUESTED),
        (exc.InvalidatePoolError(), Invalidation.PRE_PING),
        (exc.DisconnectionError(), Invalidation.DISCONNECT),
        (sqlite3.OperationalError(), Invalidation.DISCONNECT),
        (ConnectionResetError(), Invalidation.DISCONNECT),
        (asyncio.CancelledError(), Invalidation.CANCELLED),
        (ValueError("of the application"), Invalidation.ERROR),
    ],
    ids=repr,
)
def test_invalidation(error: BaseException | None, expected: Invalidation) -> None:
    """What the application asked for, what the database did and what a cancelled task left behind are told apart."""
    assert invalidation(error, sqlite3.Error) is expected


def test_sqlstate_of_another_driver() -> None:
    """A driver may use the attribute for something else, or not have it."""
    assert sqlstate(ValueError()) is None
    assert sqlstate(DriverError(state="25006")) == "25006"
    error = DriverError()
    error.sqlstate = 25006  # type: ignore[assignment]
    assert sqlstate(error) is None
