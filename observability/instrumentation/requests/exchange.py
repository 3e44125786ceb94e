"""One request and its answer, between the server and the application."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Awaitable
from time import perf_counter
from typing import TYPE_CHECKING, Final

from observability.instrumentation.requests import metrics
from observability.instrumentation.requests.metrics import DURATION_BUCKETS
from observability.instrumentation.requests.vocabulary import status_error, status_name

if TYPE_CHECKING:
    from observability.instrumentation.asgi import Message, Receive, Scope, Send
    from observability.instrumentation.requests.ledger import Ledger, Observations
    from observability.instrumentation.requests.vocabulary import Vocabulary

_BODY: Final = frozenset({"http.response.body", "http.response.zerocopysend", "http.response.pathsend"})


class Exchange:
    """
    Stands in for `receive` and `send`, and notes what passes.

    The request is over when the server has taken the last part of the body, not when the application returns: background
    tasks come after that.
    """

    __slots__ = (
        "_first", "_last", "_ledger", "_left", "_receive", "_scope", "_send", "_status", "_words", "began", "over",
    )  # fmt: skip

    def __init__(self, ledger: Ledger, words: Vocabulary, scope: Scope, receive: Receive, send: Send) -> None:
        self.began = perf_counter()
        self.over = False
        self._ledger = ledger
        self._words = words
        self._scope = scope
        self._receive = receive
        self._send = send
        self._status = 0
        self._first = 0.0
        self._last = False
        self._left = False

    async def receive(self) -> Message:
        """Let a message to the application pass."""
        message = await self._receive()
        # Once the answer is complete, servers say so with the same message.
        if message["type"] == "http.disconnect" and not self._last:
            self._left = True
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """Let a message of the application pass."""
        kind = message["type"]
        if kind == "http.response.start":
            self._status = message["status"]
        elif kind in _BODY:
            if not message.get("more_body", False):
                self._last = True
                return self._finish(message)
            if not self._first and message.get("body", True):
                self._first = perf_counter()
        return self._send(message)

    def failed(self, error: BaseException) -> None:
        """The application ended with an error, perhaps after its answer was complete."""
        try:
            disconnected = type(error).__name__ == "ClientDisconnect"
            if isinstance(error, Exception) and not disconnected:
                self._ledger.count(metrics.EXCEPTIONS, self._words.error(error), self.route())
            if not self.over:
                cancelled = isinstance(error, asyncio.CancelledError | GeneratorExit)
                self._left = self._left or disconnected
                self._abandon(metrics.CANCELLED if cancelled else self._words.error(error))
        except Exception as own:  # noqa: BLE001 -- a border: the server must see the application's own error
            self._ledger.errors.note(own)

    def returned(self) -> None:
        """The application ended, and its answer is not complete."""
        try:
            self._abandon(metrics.INCOMPLETE)
        except Exception as own:  # noqa: BLE001 -- a border: the application has not failed
            self._ledger.errors.note(own)

    def method_and_scheme(self) -> tuple[str, str]:
        """What is known from the beginning."""
        return self._words.method(self._scope), self._words.scheme(self._scope)

    def route(self) -> str:
        """The template of the route, empty where there is none (yet)."""
        return self._words.route(self._scope)[0]

    async def _finish(self, message: Message) -> None:
        await self._send(message)
        try:
            seconds = perf_counter() - self.began
            self.over = True
            self._ledger.live.discard(self)
            if self._first:
                self._count_first_byte()
            # uvicorn goes on without its client, and says so nowhere else.
            if self._left or getattr(getattr(self._receive, "__self__", None), "disconnected", False) is True:
                self._series(metrics.CLIENT_DISCONNECTED)[0].add(seconds, DURATION_BUCKETS)
                return
            # The rest is spelled out, as every request comes here: `whither`, the root, `Observations.add`.
            scope = self._scope
            where = scope.get("endpoint")
            if where is None:
                where = scope.get("path_template")
            root = scope.get("app_root_path")
            if root is None:
                root = scope.get("root_path")
            shortcut = (where, self._status, scope["method"], scope.get("scheme"), root)
            try:
                series = self._ledger.here.tally.shortcuts[shortcut]
            except (KeyError, TypeError):
                series = self._learn(shortcut)
            series.counts[bisect_left(DURATION_BUCKETS, seconds)] += 1
            series.sum += seconds
        except Exception as own:  # noqa: BLE001 -- a border: the application has answered well
            self._ledger.errors.note(own)

    def _abandon(self, error: str) -> None:
        """The request is over without a complete answer."""
        seconds = perf_counter() - self.began
        self.over = True
        self._ledger.live.discard(self)
        if self._first:
            self._count_first_byte()
        left = self._left or getattr(getattr(self._receive, "__self__", None), "disconnected", False) is True
        series, _ = self._series(metrics.CLIENT_DISCONNECTED if left else error)
        series.add(seconds, DURATION_BUCKETS)

    def _learn(self, shortcut: tuple[object, ...]) -> Observations:
        """The series of a complete answer, which is remembered if it is bound to be the same again."""
        series, certain = self._series(status_error(self._status))
        if certain:
            self._ledger.here.tally.remember(shortcut, series)
        return series

    def _series(self, error: str) -> tuple[Observations, bool]:
        method, scheme = self.method_and_scheme()
        route, certain = self._words.route(self._scope)
        status = status_name(self._status)
        labels = (error, method, status, route, scheme)
        # What a client can make up is not remembered.
        certain = certain and bool(scheme and status) and method != metrics.OTHER
        return self._ledger.here.tally.observations(metrics.DURATION, labels), certain

    def _count_first_byte(self) -> None:
        labels = (self._words.method(self._scope), self.route())
        series = self._ledger.here.tally.observations(metrics.FIRST_BYTE, labels)
        series.add(self._first - self.began, DURATION_BUCKETS)
