"""One WebSocket connection, between the server and the application."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from time import perf_counter
from typing import TYPE_CHECKING

from observability.instrumentation.requests import metrics
from observability.instrumentation.requests.vocabulary import close_error

if TYPE_CHECKING:
    from observability.instrumentation.asgi import Message, Receive, Scope, Send
    from observability.instrumentation.requests.ledger import Ledger
    from observability.instrumentation.requests.vocabulary import Vocabulary


class Socket:
    """Stands in for `receive` and `send`, and notes how the connection begins and ends."""

    __slots__ = ("_began", "_code", "_ledger", "_receive", "_scope", "_send", "_words", "accepted")

    def __init__(self, ledger: Ledger, words: Vocabulary, scope: Scope, receive: Receive, send: Send) -> None:
        self.accepted = False
        self._began = perf_counter()
        self._ledger = ledger
        self._words = words
        self._scope = scope
        self._receive = receive
        self._send = send
        self._code: int | None = None
        """Of whoever closed first."""

    async def receive(self) -> Message:
        """Let a message to the application pass."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self._closed(message.get("code", 1005))
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """Let a message of the application pass."""
        kind = message["type"]
        if kind == "websocket.accept":
            self.accepted = True
        elif kind == "websocket.close":
            self._closed(message.get("code", 1000))
        return self._send(message)

    def ended(self, error: BaseException | None) -> None:
        """The application ended, with an error or without."""
        try:
            self._ledger.sockets.discard(self)
            # Frameworks raise this to say that the other side has closed the connection.
            failed = isinstance(error, Exception) and type(error).__name__ != "WebSocketDisconnect"
            if failed and error:
                self._ledger.count(metrics.EXCEPTIONS, self._words.error(error), self.route_and_scheme()[0])
            labels = (self._error(error if failed else None, error), *self.route_and_scheme())
            series = self._ledger.here.tally.observations(metrics.SOCKET_DURATION, labels)
            series.add(perf_counter() - self._began, metrics.SOCKET_BUCKETS)
        except Exception as own:  # noqa: BLE001 -- a border: the server must see the application's own error
            self._ledger.errors.note(own)

    def route_and_scheme(self) -> tuple[str, str]:
        """What tells it apart from others while it is open."""
        return self._words.route(self._scope)[0], self._words.scheme(self._scope)

    def _closed(self, code: int | None) -> None:
        if self._code is None:
            self._code = 1005 if code is None else code

    def _error(self, failure: BaseException | None, error: BaseException | None) -> str:
        if failure:
            return self._words.error(failure)
        if isinstance(error, asyncio.CancelledError | GeneratorExit) and self._code is None:
            return metrics.CANCELLED
        if not self.accepted:
            return metrics.REJECTED
        return "" if self._code is None else close_error(self._code)
