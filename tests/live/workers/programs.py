"""
Programs that several workers run. Each request takes one connection from a pool, and is written down.

A byte in a file that is open for appending is kept by the kernel however its writer ends: its size is the truth.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sqlalchemy import create_engine
from sqlalchemy.pool import QueuePool

from observability import RequestMetrics, instrument, metrics_app, wsgi_metrics_app
from observability.instrumentation.asgi import Receive, Scope, Send
from tests.live.workers.serving import OVERFLOW, POOL_SIZE

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_truth = os.open(os.environ["TRUTH"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
_engine = create_engine("sqlite://", poolclass=QueuePool, pool_size=POOL_SIZE, max_overflow=OVERFLOW)
instrument(_engine, "core")
_metrics = metrics_app()
_wsgi_metrics = wsgi_metrics_app()


def _work() -> bytes:
    connection = _engine.raw_connection()
    os.write(_truth, b".")
    connection.close()
    return str(os.getpid()).encode()


async def _answer(_: Scope, __: Receive, send: Send) -> None:
    body = _work()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})


_counted = RequestMetrics(_answer, runtime=False)


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    """Work on any path but that of the metrics."""
    if scope["type"] == "http":
        await (_metrics if scope["path"] == "/metrics" else _counted)(scope, receive, send)


def wsgi(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The same by WSGI."""
    if environ["PATH_INFO"] == "/metrics":
        return _wsgi_metrics(environ, start_response)
    start_response("200 OK", [("content-type", "text/plain")])
    return [_work()]
