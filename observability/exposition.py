"""
The metrics of a server over HTTP, by whatever it already serves with: ASGI, WSGI, or a prometheus_client registry.

Nothing here imports a web framework.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from observability.errors import InstrumentationError
from observability.export.negotiation import page
from observability.export.prometheus import SampleCollector
from observability.instrumentation import registry
from observability.instrumentation.registry import Source
from observability.instrumentation.workers import membership
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
_REASONS: Final = {200: "200 OK", 404: "404 Not Found", 405: "405 Method Not Allowed", 503: "503 Service Unavailable"}


class _Answer(NamedTuple):
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def metrics_app(sources: Sources = None) -> ASGIApp:
    """
    An ASGI application that serves the metrics of this server, alone or mounted under any path.

    Without `sources` it serves everything that is instrumented at the time of the scrape, in all workers of the server.

    Raises:
        InstrumentationError: when HA_MULTIPROCESS_DIR names a directory in which workers cannot meet.

    """
    if sources is None:
        membership.join_if_worker(os.environ)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            answering = partial(
                _answer, scope["method"], path, headers.get("accept", ""), headers.get("accept-encoding", ""), sources
            )
            answer = await _beside(answering) if sources is None and membership.one_of_several() else answering()
            await _send(send, answer)
        else:
            await send({"type": "websocket.close", "code": 1000})

    return app


def wsgi_metrics_app(sources: Sources = None) -> WSGIApplication:
    """The same as a WSGI application."""
    if sources is None:
        membership.join_if_worker(os.environ)

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

    collector = SampleCollector(lambda: _of_this_process(sources), METRICS)
    collector_registry.register(collector)
    return collector


def _of_this_process(sources: Sources) -> Iterable[Batch]:
    return chain.from_iterable(source() for source in (registry.sources() if sources is None else sources))


def _answer(method: str, path: str, accept: str, accept_encoding: str, sources: Sources) -> _Answer:
    if path not in _PATHS:
        return _Answer(404, (("content-type", _PLAIN),), b"The metrics are at /metrics.\n")
    if method not in {"GET", "HEAD"}:
        return _Answer(405, (("content-type", _PLAIN), ("allow", "GET, HEAD")), b"Metrics are read with GET.\n")
    try:
        batches = membership.collect() if sources is None else list(_of_this_process(sources))
    except InstrumentationError as error:
        # Better no answer than one worker's figures in place of all.
        return _Answer(503, (("content-type", _PLAIN),), f"{error}\n".encode())
    headers, body = page(batches, accept=accept, accept_encoding=accept_encoding)
    return _Answer(200, tuple(headers.items()), b"" if method == "HEAD" else body)


async def _beside(work: Callable[[], _Answer]) -> _Answer:
    """
    Run `work` in a thread of its own: it may wait for another worker, which the event loop must not.

    The loop's own threads may all be busy just when somebody wants to know why.
    """
    import asyncio

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # another kind of event loop
        return work()
    done: asyncio.Future[_Answer] = loop.create_future()

    def settle(answer: _Answer | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if answer is None:
            done.set_exception(error or RuntimeError("no answer"))
        else:
            done.set_result(answer)

    def run() -> None:
        answer, problem = None, None
        try:
            answer = work()
        except BaseException as error:  # noqa: BLE001 -- it is raised again where it is awaited
            problem = error
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(settle, answer, problem)

    threading.Thread(target=run, name="ha-observability-scrape", daemon=True).start()
    return await done


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
