"""Wraps an ASGI application and tells what its requests do."""

from __future__ import annotations

from collections.abc import Iterable

from observability.instrumentation.asgi import ASGIApp, Receive, Scope, Send
from observability.instrumentation.requests.exchange import Exchange
from observability.instrumentation.requests.ledger import ledger_of
from observability.instrumentation.requests.routes import Resolver
from observability.instrumentation.requests.socket import Socket
from observability.instrumentation.requests.vocabulary import Vocabulary


class RequestMetrics:
    """
    An ASGI application that does what the one in it does, and counts.

    As a wrapper (`app = RequestMetrics(app)`), which sees all that a client sees; as a decorator; or as a middleware of a
    framework (`app.add_middleware(RequestMetrics)`). Whoever wraps twice counts once.

    Args:
        app: the application.
        name: the value of the label `app`, to tell several applications of one process apart; those without a name, or
            with the same, are counted together.
        route: gives the template of a route where the framework does not tell it; never the path itself.
        most_routes: templates that are told apart; those beyond are `_OTHER`.
        methods: methods that are told apart; by default those of the semantic conventions.
        runtime: begin `runtime_metrics` with the application's event loop.

    """

    def __init__(  # noqa: PLR0913 -- options, each by its name
        self,
        app: ASGIApp,
        *,
        name: str = "",
        route: Resolver | None = None,
        most_routes: int = 500,
        methods: Iterable[str] | None = None,
        runtime: bool = True,
    ) -> None:
        self.app = app
        self._ledger = ledger_of(name)
        self._words = Vocabulary(route, most_routes, methods, self._ledger.errors)
        self._runtime = runtime
        self._mark = f"observability.requests.{name}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer, and count."""
        if scope["type"] != "http" or self._mark in scope:
            await self._other(scope, receive, send)
            return
        scope[self._mark] = True
        exchange = Exchange(self._ledger, self._words, scope, receive, send)
        self._ledger.live.add(exchange)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            exchange.failed(error)
            raise
        if not exchange.over:
            exchange.returned()

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and self._mark not in scope:
            scope[self._mark] = True
            await self._connect(scope, receive, send)
            return
        if scope["type"] == "lifespan" and self._runtime:
            from observability.instrumentation.runtime.monitor import runtime_metrics

            try:
                runtime_metrics()
            except Exception as error:  # noqa: BLE001 -- a border: the application must start
                self._ledger.errors.note(error)
        await self.app(scope, receive, send)

    async def _connect(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = Socket(self._ledger, self._words, scope, receive, send)
        self._ledger.sockets.add(socket)
        try:
            await self.app(scope, socket.receive, socket.send)
        except BaseException as error:
            socket.ended(error)
            raise
        socket.ended(None)
