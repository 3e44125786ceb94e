"""Who may speak to the controller, how often, and how long a message may be."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import time
from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request

from observability.connect import Secret
from observability.errors import FailoverError, TargetError


class RefusedError(FailoverError):
    """A request is not taken: the status to answer with, and a short word for the metric."""

    def __init__(self, status: int, outcome: str, message: str) -> None:
        self.status = status
        self.outcome = outcome
        super().__init__(message)


class Admission:
    """
    The door to everything but health and metrics.

    Args:
        token: what a request must carry, as `Authorization: Bearer TOKEN` or as the password of Basic.
        per_second: requests that are taken in the long run.
        burst: requests that are taken at once.
        body_seconds: how long a body may take to arrive.
        monotonic: seconds that only grow.

    """

    def __init__(
        self,
        token: Secret,
        *,
        per_second: float = 20.0,
        burst: int = 100,
        body_seconds: float = 5.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._token = token
        self._per_second = per_second
        self._burst = float(burst)
        self._body_seconds = body_seconds
        self._left = float(burst)
        self._monotonic = monotonic
        self._counted_at = monotonic()

    def require_token(self, request: Request) -> None:
        """
        Let nobody in without the token; the time of the comparison tells nothing about it.

        Raises:
            RefusedError: 401, or 503 when the token's file cannot be read.

        """
        try:
            wanted = (self._token.reveal() or "").encode()
        except TargetError:
            raise RefusedError(503, "unauthorized", "the controller cannot read its token file") from None
        given = _credentials(request.headers.get("authorization", ""))
        if not (wanted and hmac.compare_digest(given, wanted)):
            message = "the token is missing or wrong: send it as 'Authorization: Bearer TOKEN', or as password of Basic"
            raise RefusedError(401, "unauthorized", message)

    def require_room(self) -> None:
        """
        Take one of the requests that are left for now.

        Raises:
            RefusedError: 429 when there are none.

        """
        now = self._monotonic()
        self._left = min(self._burst, self._left + (now - self._counted_at) * self._per_second)
        self._counted_at = now
        if self._left < 1:
            raise RefusedError(429, "too_many", f"more than {self._per_second:g} webhooks a second: send them later")
        self._left -= 1

    async def body(self, request: Request, *, limit: int) -> bytes:
        """
        The whole body of a request, if it is not too long and comes in time.

        Raises:
            RefusedError: 413, 408, or 400 when the sender goes away.

        """
        too_large = RefusedError(413, "too_large", f"the body is longer than {limit} bytes: lower max_alerts")
        said = request.headers.get("content-length", "")
        if said.isdigit() and int(said) > limit:
            raise too_large
        received = bytearray()
        try:
            async with asyncio.timeout(self._body_seconds):
                async for piece in request.stream():
                    received += piece
                    if len(received) > limit:
                        raise too_large
        except TimeoutError:
            message = f"the body did not arrive within {self._body_seconds:g} s"
            raise RefusedError(408, "too_slow", message) from None
        except ClientDisconnect:
            raise RefusedError(400, "malformed", "the sender went away") from None
        return bytes(received)


def _credentials(header: str) -> bytes:
    """The token of a Bearer header, or the password of a Basic one."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return b""
    return b""
