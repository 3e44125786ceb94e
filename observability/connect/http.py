"""HTTP by httpx: one kept connection, no redirects, the answer's body bounded."""

from __future__ import annotations

import asyncio
import base64
import ssl
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import httpx

from observability.connect import tls
from observability.connect.failures import failure, network_reason
from observability.connect.target import Target
from observability.errors import Reason, TargetError
from observability.probes.probe import Answer, Facts, Failure, Question

_MAX_BODY_BYTES = 1 << 20


class Response(NamedTuple):
    """What an HTTP server said: its status, whether that is one that was expected, and the seconds to the last byte."""

    status: int
    expected: bool
    seconds: float


class HttpConnection:
    """A client with one kept connection; httpx opens it at the first question and again after it was closed."""

    def __init__(self, target: Target, client: httpx.AsyncClient) -> None:
        self._target = target
        self._client = client
        self.facts = Facts()

    @property
    def usable(self) -> bool:
        """True until aborted: httpx replaces a lost connection by itself."""
        return not self._client.is_closed

    async def ask(self, questions: Sequence[Question], timeout: float) -> list[Answer | Failure]:
        """The response to each method on the target's URL."""
        deadline = time.monotonic() + timeout
        return [await self._ask(str(question), deadline) for question in questions]

    async def _ask(self, method: str, deadline: float) -> Answer | Failure:
        started = time.monotonic()
        try:
            async with asyncio.timeout(deadline - started):
                status = await self._request(method)
        except (OSError, TargetError, httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            return failure(error, _reason(error), time.monotonic() - started)
        seconds = time.monotonic() - started
        expected = self._target.expect_status
        return Answer(Response(status, status in expected if expected else 200 <= status < 300, seconds), seconds)  # noqa: PLR2004 -- 2xx

    async def _request(self, method: str) -> int:
        async with self._client.stream(method, self._target.url) as response:
            size = 0
            async for chunk in response.aiter_raw():
                size += len(chunk)
                if size > _MAX_BODY_BYTES:
                    raise httpx.DecodingError(f"the answer is larger than {_MAX_BODY_BYTES} bytes")
            return response.status_code

    def abort(self) -> None:
        """Drop the client; sockets that are still open are closed in the background."""
        task = asyncio.ensure_future(self._client.aclose())
        _closing.add(task)
        task.add_done_callback(_closing.discard)


_closing: set[asyncio.Task[None]] = set()
"""Tasks need an owner until they end, or the garbage collector may take them."""


async def connect(target: Target, timeout: float) -> HttpConnection | Failure:  # noqa: ARG001 -- nothing is sent yet
    """A client for `target`; the connection itself is made by the first question."""
    context: ssl.SSLContext | bool = False
    if target.url.startswith("https:"):
        try:
            context = tls.context(target.tls) or True
        except TargetError as error:
            return failure(error, error.reason, 0.0)
    client = httpx.AsyncClient(
        timeout=httpx.Timeout(target.timeout_seconds),
        verify=context,
        limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
        headers={"User-Agent": "ha-observability"},
        auth=_authorise(target),
        trust_env=False,
    )
    return HttpConnection(target, client)


def _authorise(target: Target) -> Callable[[httpx.Request], httpx.Request] | None:
    """Basic authentication, where the target has a password; one in a file is read again for each request."""
    if target.password.is_empty:
        return None

    def sign(request: httpx.Request) -> httpx.Request:
        credentials = f"{target.user}:{target.password.reveal()}".encode()
        request.headers["Authorization"] = f"Basic {base64.b64encode(credentials).decode()}"
        return request

    return sign


def _reason(error: BaseException) -> Reason:
    if isinstance(error, httpx.InvalidURL):
        return Reason.ERROR
    if isinstance(error, httpx.TimeoutException):
        return Reason.HUNG
    if isinstance(error, httpx.RemoteProtocolError):
        return Reason.CLOSED if "disconnected" in str(error) else Reason.PROTOCOL
    if isinstance(error, httpx.DecodingError):
        return Reason.PROTOCOL
    cause: BaseException | None = error
    while cause is not None:
        reason = network_reason(cause)
        if reason not in {None, Reason.ERROR}:
            return reason or Reason.ERROR
        cause = cause.__cause__ or cause.__context__
    return Reason.REFUSED if isinstance(error, httpx.ConnectError) else Reason.CLOSED
