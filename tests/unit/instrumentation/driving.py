"""Drives ASGI applications without a server, and reads what was counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from observability.instrumentation.asgi import ASGIApp, Message, Receive, Scope, Send
from observability.instrumentation.requests.middleware import RequestMetrics
from observability.metrics import Batch, Histogram, Metric

REQUEST: Message = {"type": "http.request", "body": b"", "more_body": False}
DISCONNECT: Message = {"type": "http.disconnect"}
OK: Message = {"type": "http.response.start", "status": 200, "headers": []}


def part(body: bytes = b"x", *, more: bool = False) -> Message:
    """A part of a body."""
    return {"type": "http.response.body", "body": body, "more_body": more}


def http_scope(path: str = "/", method: str = "GET", **more: Any) -> Scope:
    """The scope of a request, as a server makes it."""
    return {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": method,
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": [],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), **more,
    }  # fmt: skip


class Wire:
    """The server's side: what it gives to the application, and what it got."""

    def __init__(self, *messages: Message) -> None:
        self.sent: list[Message] = []
        self._messages = list(messages)
        self.on_send: Callable[[Message], None] = lambda _: None

    async def receive(self) -> Message:
        """The next message; when there is none, wait as a server does."""
        if self._messages:
            return self._messages.pop(0)
        await asyncio.Event().wait()
        return DISCONNECT

    async def send(self, message: Message) -> None:
        """Take a message, and let others run as a server does whose buffer is full."""
        self.on_send(message)
        await asyncio.sleep(0)
        self.sent.append(message)


async def drive(app: ASGIApp, scope: Scope, *messages: Message) -> list[Message]:
    """What an application sends for a scope."""
    wire = Wire(*(messages or (REQUEST,)))
    await app(scope, wire.receive, wire.send)
    return wire.sent


def answering(*messages: Message) -> ASGIApp:
    """An application that sends these messages."""

    async def app(_: Scope, __: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


def counted(app: RequestMetrics, metric: Metric) -> dict[tuple[str, ...], float]:
    """The values of one metric by labels; of a histogram, how many it has seen."""
    return values(app._ledger.collect(), metric)


def values(batches: Iterable[Batch], metric: Metric) -> dict[tuple[str, ...], float]:
    """The values of one metric by labels; of a histogram, how many it has seen."""
    return {
        sample.labels: sample.value.count if isinstance(sample.value, Histogram) else sample.value
        for batch in batches
        for sample in batch.samples
        if sample.metric is metric
    }


def total_seconds(app: RequestMetrics, metric: Metric) -> float:
    """The sum of a histogram over all its series."""
    return sum(
        sample.value.sum
        for batch in app._ledger.collect()
        for sample in batch.samples
        if sample.metric is metric and isinstance(sample.value, Histogram)
    )


def headers_of(sent: list[Message]) -> Mapping[bytes, bytes]:
    """The headers of an answer."""
    return dict(sent[0]["headers"])
