"""From what sockets, TLS and drivers raise to the short list of reasons."""

from __future__ import annotations

import errno
import socket
import ssl
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from redis import exceptions as redis_errors

from observability.connect import Secret, Tls, http, postgres, redis, tls
from observability.connect.failures import failure, network_reason
from observability.errors import Reason, TargetError
from observability.probes.probe import Failure


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefusedError(), Reason.REFUSED),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 1), …"), Reason.REFUSED),
        (OSError(errno.EHOSTUNREACH, "No route to host"), Reason.UNREACHABLE),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), Reason.UNREACHABLE),
        (socket.gaierror(-2, "Name or service not known"), Reason.DNS),
        (ssl.SSLError("WRONG_VERSION_NUMBER"), Reason.TLS),
        (ssl.SSLCertVerificationError("hostname mismatch"), Reason.TLS),
        (TimeoutError(), Reason.HUNG),
        (ConnectionResetError(), Reason.CLOSED),
        (BrokenPipeError(), Reason.CLOSED),
        (EOFError(), Reason.CLOSED),
        (OSError(errno.EMFILE, "Too many open files"), Reason.ERROR),
        (TargetError(Reason.AUTH, "no password file"), Reason.AUTH),
        (ValueError(), None),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_network(error: Exception, reason: Reason | None) -> None:
    """What all drivers share."""
    assert reason == network_reason(error)


def sqlstate(name: str) -> Exception:
    """The error that asyncpg raises for a state of PostgreSQL."""
    kinds = [each for each in vars(asyncpg).values() if isinstance(each, type) and hasattr(each, "sqlstate")]
    error: Exception = next(each for each in kinds if each.sqlstate == name)("told by the server")
    return error


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("28P01", Reason.AUTH),
        ("28000", Reason.AUTH),
        ("3D000", Reason.DATABASE),
        ("42501", Reason.PERMISSION),
        ("53300", Reason.TOO_MANY_CONNECTIONS),
        ("55P03", Reason.SLOW),
        ("57014", Reason.SLOW),
        ("57P01", Reason.STOPPING),
        ("57P02", Reason.STOPPING),
        ("57P03", Reason.STARTING),
        ("08006", Reason.CLOSED),
        ("08P01", Reason.PROTOCOL),
        ("42P01", Reason.ERROR),
        ("XX000", Reason.ERROR),
    ],
)
def test_postgres_states(state: str, reason: Reason) -> None:
    """PostgreSQL's own codes."""
    assert reason == postgres._reason(sqlstate(state))


def test_postgres_that_shuts_down() -> None:
    """One code means both starting and stopping; the text tells them apart."""
    error = asyncpg.CannotConnectNowError("the database system is shutting down")
    assert postgres._reason(error) is Reason.STOPPING


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (redis_errors.AuthenticationError("invalid username-password pair"), Reason.AUTH),
        (redis_errors.ResponseError("NOAUTH Authentication required."), Reason.AUTH),
        (redis_errors.NoPermissionError("this user has no permissions"), Reason.PERMISSION),
        (redis_errors.BusyLoadingError("Redis is loading the dataset in memory"), Reason.STARTING),
        (redis_errors.ResponseError("BUSY Redis is busy running a script"), Reason.SLOW),
        (redis_errors.ResponseError("DB index is out of range"), Reason.DATABASE),
        (redis_errors.ResponseError("ERR something else"), Reason.ERROR),
        (redis_errors.ConnectionError("max number of clients reached"), Reason.TOO_MANY_CONNECTIONS),
        (redis_errors.ConnectionError("Connection closed by server."), Reason.CLOSED),
        (redis_errors.InvalidResponse("Protocol error"), Reason.PROTOCOL),
        (redis_errors.TimeoutError("Timeout reading"), Reason.HUNG),
        (ValueError("invalid literal for int()"), Reason.PROTOCOL),
        (RuntimeError("unable to perform operation on <TCPTransport closed=True>"), Reason.CLOSED),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_redis(error: Exception, reason: Reason) -> None:
    """What redis-py raises, by type or by the words of the server."""
    assert reason == redis._reason(error)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (httpx.ReadTimeout(""), Reason.HUNG),
        (httpx.RemoteProtocolError("Server disconnected without sending a response."), Reason.CLOSED),
        (httpx.RemoteProtocolError("illegal status line"), Reason.PROTOCOL),
        (httpx.ConnectError("All connection attempts failed"), Reason.REFUSED),
        (httpx.ReadError(""), Reason.CLOSED),
        (httpx.InvalidURL("no URL"), Reason.ERROR),
        (TargetError(Reason.AUTH, "no password file"), Reason.AUTH),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_http(error: Exception, reason: Reason) -> None:
    """What httpx raises."""
    assert reason == http._reason(error)


def test_http_cause() -> None:
    """Httpx wraps what the socket raised: the cause tells more."""
    error = httpx.ConnectError("failed")
    error.__cause__ = socket.gaierror(-2, "Name or service not known")
    assert http._reason(error) is Reason.DNS


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError("first\nsecond"), "OSError: first"),
        (EOFError(), "EOFError"),
        (TimeoutError(), "no answer within 0.25 s"),
    ],
)
def test_message_is_one_line(error: Exception, message: str) -> None:
    """People read the first line of what the driver said, and its type."""
    assert Failure(Reason.ERROR, message, 0.25) == failure(error, Reason.ERROR, 0.25)


class TestTls:
    """Contexts by libpq's sslmode."""

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ("prefer", (False, ssl.CERT_NONE)),
            ("require", (False, ssl.CERT_NONE)),
            ("verify-ca", (False, ssl.CERT_REQUIRED)),
            ("verify-full", (True, ssl.CERT_REQUIRED)),
        ],
    )
    def test_modes(self, given: Any, expected: tuple[bool, ssl.VerifyMode]) -> None:
        """Encrypting is not verifying."""
        made = tls.context(Tls(given))
        assert made is not None
        assert expected == (made.check_hostname, made.verify_mode)

    def test_disable(self) -> None:
        """No context at all."""
        assert tls.context(Tls("disable")) is None

    def test_files_that_cannot_be_used(self, tmp_path: Path) -> None:
        """The message names the files."""
        with pytest.raises(TargetError, match=f"TLS files cannot be used .{tmp_path}/ca.pem") as raised:
            tls.context(Tls("verify-full", ca_file=tmp_path / "ca.pem"))
        assert raised.value.reason is Reason.TLS


class TestSecret:
    """A password that cannot be formatted by accident."""

    def test_is_not_shown(self, tmp_path: Path) -> None:
        """Neither repr, str nor a format string reveal it, wherever it comes from."""
        (tmp_path / "file").write_text("hunter2")
        shown = [f"{secret} {secret!r} {secret!s}" for secret in (Secret("hunter2"), Secret(path=tmp_path / "file"))]
        assert shown == ["Secret(***) Secret(***) Secret(***)"] * 2

    def test_file_is_read_anew(self, tmp_path: Path) -> None:
        """A rotated password counts at the next connection; the line's end is no part of it."""
        file = tmp_path / "file"
        file.write_text("old\n")
        secret = Secret(path=file)
        assert secret.reveal() == "old"
        file.write_text("new\r\n")
        assert secret.reveal() == "new"

    @pytest.mark.parametrize(("content", "why"), [(None, "No such file or directory"), (b"\xff", "it is not UTF-8")])
    def test_unreadable_file(self, content: bytes | None, why: str, tmp_path: Path) -> None:
        """The reason is `auth`, and the message names the file."""
        file = tmp_path / "file"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(TargetError, match=f"password file {file} cannot be read: {why}") as raised:
            Secret(path=file).reveal()
        assert raised.value.reason is Reason.AUTH
