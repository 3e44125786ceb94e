"""
The metrics of this process over HTTP, for whatever server it already has: ASGI, WSGI, or a prometheus_client registry.

Nothing here imports a web framework.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from observability.export.negotiation import page
from observability.export.prometheus import SampleCollector
from observability.instrumentation import registry
from observability.instrumentation.registry import Source
from observability.metrics import Batch

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from prometheus_client.registry import CollectorRegistry

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Sources: TypeAlias = Iterable[Source] | None

_PATHS: Final = {"", "/", "/metrics", "/metrics/"}
_PLAIN: Final = "text/plain; charset=utf-8"
_REASONS: Final = {200: "200 OK", 404: "404 Not Found", 405: "405 Method Not Allowed"}


class _Answer(NamedTuple):
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def metrics_app(sources: Sources = None) -> ASGIApp:
    """
    An ASGI application that serves this process's metrics, alone or mounted under any path.

    Without `sources` it serves everything that is instrumented at the time of the scrape.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            answer = _answer(
                scope["method"], path, headers.get("accept", ""), headers.get("accept-encoding", ""), sources
            )
            await _send(send, answer)
        else:
            await send({"type": "websocket.close", "code": 1000})

    return app


def wsgi_metrics_app(sources: Sources = None) -> WSGIApplication:
    """The same as a WSGI application."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer = _answer(
            environ["REQUEST_METHOD"],
            environ.get("PATH_INFO", ""),
            environ.get("HTTP_ACCEPT", ""),
            environ.get("HTTP_ACCEPT_ENCODING", ""),
            sources,
        )
        start_response(_REASONS[answer.status], list(answer.headers))
        return [answer.body]

    return app


def holders_app() -> ASGIApp:
    """
    An ASGI application that shows, as text, who holds connections and where in the code they were taken.

    It tells about the application's code, so it is served nowhere unless it is mounted, and belongs behind a login.
    The places are known for engines that were instrumented with `debug`.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            await _send(send, _Answer(200, (("content-type", _PLAIN), ("cache-control", "no-store")), _holders()))

    return app


def register(collector_registry: CollectorRegistry, sources: Sources = None) -> SampleCollector:
    """Let an existing prometheus_client registry serve this process's metrics too; gives what `unregister` takes."""
    from observability.instrumentation.pool.metrics import METRICS

    collector = SampleCollector(lambda: _batches(sources), METRICS)
    collector_registry.register(collector)
    return collector


def _batches(sources: Sources) -> Iterator[Batch]:
    return chain.from_iterable(source() for source in (registry.sources() if sources is None else sources))


def _answer(method: str, path: str, accept: str, accept_encoding: str, sources: Sources) -> _Answer:
    if path not in _PATHS:
        return _Answer(404, (("content-type", _PLAIN),), b"The metrics are at /metrics.\n")
    if method not in {"GET", "HEAD"}:
        return _Answer(405, (("content-type", _PLAIN), ("allow", "GET, HEAD")), b"Metrics are read with GET.\n")
    headers, body = page(_batches(sources), accept=accept, accept_encoding=accept_encoding)
    return _Answer(200, tuple(headers.items()), b"" if method == "HEAD" else body)


def _holders() -> bytes:
    from observability.instrumentation.pool.monitor import PoolMonitor

    lines = [
        f"{monitor.pool_name}: {each.connections} for up to {each.oldest_seconds:.1f} s"
        f" from {' < '.join(each.place) or 'an unknown place'}\n"
        for monitor in registry.known()
        if isinstance(monitor, PoolMonitor)
        for each in monitor.holders()
    ]
    return "".join(lines or ["No connection is out.\n"]).encode()


async def _send(send: Send, answer: _Answer) -> None:
    headers = [(key.encode("latin-1"), value.encode("latin-1")) for key, value in answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _live(receive: Receive, send: Send) -> None:
    """Standing alone, the application has nothing to start or stop, and says so."""
    while True:
        message: Mapping[str, Any] = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
