"""Answers those who ask for the health of a server: an ASGI application beside, inside or around the server's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeAlias
from urllib.parse import parse_qs

from observability.instrumentation.asgi import ASGIApp, Message, Receive, Scope, Send
from observability.instrumentation.health import answers
from observability.instrumentation.health.answers import Answer
from observability.instrumentation.health.check import HealthCheck
from observability.instrumentation.health.metrics import State
from observability.instrumentation.health.server import ServerHealth

Allowed: TypeAlias = bool | Callable[[Scope], bool]

_PATHS: Final = frozenset({"/livez", "/readyz", "/healthz"})
_METHODS: Final = frozenset({"GET", "HEAD"})
_NO: Final = frozenset({"0", "false", "no"})


class HealthApp:
    """What `health_app` gives: an ASGI application, and the way to take this server out of the balancer."""

    def __init__(self, health: ServerHealth, app: ASGIApp | None, verbose: Allowed) -> None:
        self.app = app
        self._health = health
        self._verbose = verbose

    @property
    def state(self) -> State:
        """Whether this server may get traffic, and if not, why."""
        return self._health.state

    def drain(self) -> None:
        """Say from now on that this server may get no traffic; it goes on answering what it gets."""
        self._health.drain()

    def resume(self) -> None:
        """Take `drain` back."""
        self._health.resume()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what is asked here, and let the application answer the rest."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] == "http" and (path := _path(scope)) in _PATHS:
            scope["path_template"] = path
            await _send(scope, await self._answer(scope, path), send)
        elif self.app:
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await _send(scope, Answer(404, "not found"), send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _answer(self, scope: Scope, path: str) -> Answer:
        if scope["method"] not in _METHODS:
            return Answer(405, "method not allowed")
        if path == "/livez":
            return answers.alive()
        self._health.begin()
        verbose = self._may_be_verbose(scope)
        if path == "/readyz":
            self._health.asked()
            if self._health.state not in {State.DRAINING, State.STARTING}:
                await asyncio.gather(*(runner.result() for runner in self._health.critical))
            return answers.ready(self._health.state, self._health.critical if verbose else None)
        await asyncio.gather(*(runner.result() for runner in self._health.runners))
        return answers.healthy(self._health.runners, verbose=verbose)

    def _may_be_verbose(self, scope: Scope) -> bool:
        asked = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True).get("verbose")
        if asked is None or asked[-1].lower() in _NO:
            return False
        return self._verbose(scope) if callable(self._verbose) else self._verbose

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Until the application around or inside has started, this server may get no traffic."""
        self._health.started = False

        async def send_noting(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                self._health.started = True
                self._health.begin()
            await send(message)

        async def receive_noting() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                # Before the application closes what the checks use.
                await self._health.close()
            return message

        try:
            await (self.app or _nothing)(scope, receive_noting, send_noting)
        finally:
            # An application that knows no lifespan says so with an exception; the server then starts without it.
            self._health.started = True
            self._health.end()


def health_app(
    *checks: HealthCheck,
    app: ASGIApp | None = None,
    verbose: Allowed = False,
    grace_seconds: float = 5.0,
    delay_sigterm: bool = True,
) -> HealthApp:
    """
    Answer `/livez`, `/readyz` and `/healthz`.

    Args:
        checks: what this server depends on.
        app: the server's application, which then gets all other requests, and whose start is waited for. Without it, the
            answers can be mounted anywhere in an application.
        verbose: who may see each check by `?verbose`: nobody, everybody, or whoever a function of the scope says.
        grace_seconds: how long the server goes on after SIGTERM while it already says that it is not ready. Where nobody
            has asked `/readyz` in the last minute, it ends at once.
        delay_sigterm: whether SIGTERM does that; else call `drain`.

    Raises:
        InstrumentationError: when two checks have the same name.

    """
    return HealthApp(ServerHealth(checks, grace_seconds, delay_sigterm=delay_sigterm), app, verbose)


async def _nothing(_: Scope, receive: Receive, send: Send) -> None:
    """The lifespan of an application that has nothing to start or stop."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _path(scope: Scope) -> str:
    """The path below whatever this is mounted at."""
    path: str = scope["path"]
    root = scope.get("root_path", "")
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path


async def _send(scope: Scope, answer: Answer, send: Send) -> None:
    accept = b",".join(value for name, value in scope["headers"] if name == b"accept")
    as_text = b"text/plain" in accept and b"json" not in accept
    body = answer.as_text() if as_text else answer.as_json()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8" if as_text else b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"vary", b"accept"),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
