"""Answers N requests in this process under one kind of measurement: `python served_work.py PEER N`; without N, times it."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

from starlette.routing import Route

App = Callable[..., Any]
ROUNDS, PER_ROUND = 9, 3_000


async def endpoint(_: Any) -> None: ...


class Router:
    """A router as Starlette leaves it in the scope."""

    routes = (Route("/users/{id}", endpoint),)
    router = None


ROUTER = Router()
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
BODY = {"type": "http.response.body", "body": b"ok"}


async def bare(scope: Any, _: Any, send: Any) -> None:
    scope["endpoint"], scope["router"] = endpoint, ROUTER
    await send(START)
    await send(BODY)


def floor(app: App) -> App:
    """The usual shape of a middleware that looks at answers, with nothing in it."""

    class Floor:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def passing(message: Any) -> None:
                await send(message)

            await app(scope, receive, passing)

    return Floor()


def ours(app: App) -> App:
    from observability import RequestMetrics

    return RequestMetrics(app, runtime=False)


def prometheus_client(app: App) -> App:
    """A middleware as many write it: a gauge of requests in flight, a histogram with labels."""
    from prometheus_client import CollectorRegistry, Gauge, Histogram

    from observability.instrumentation.requests.metrics import DURATION_BUCKETS

    registry = CollectorRegistry()
    seconds = Histogram("d", "d", ["method", "route", "status"], buckets=DURATION_BUCKETS, registry=registry)
    active = Gauge("a", "a", ["method"], registry=registry)

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        status, began = 0, time.perf_counter()

        async def noting(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        active.labels(scope["method"]).inc()
        try:
            await app(scope, receive, noting)
        finally:
            active.labels(scope["method"]).dec()
            seconds.labels(scope["method"], "/users/{id}", str(status)).observe(time.perf_counter() - began)

    return middleware


def opentelemetry(app: App) -> App:
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "http"
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    middleware: App = import_module("opentelemetry.instrumentation.asgi").OpenTelemetryMiddleware
    return middleware(app, meter_provider=MeterProvider([InMemoryMetricReader()]))  # type: ignore[no-any-return]


def instrumentator(app: App) -> App:
    inner: App = import_module("prometheus_fastapi_instrumentator.middleware").PrometheusInstrumentatorMiddleware(app)

    async def within(scope: Any, receive: Any, send: Any) -> None:
        scope["app"] = ROUTER
        await inner(scope, receive, send)

    return within


PEERS: dict[str, Callable[[App], App]] = {
    "bare": lambda app: app,
    "floor": floor,
    "ours": ours,
    "prometheus_client": prometheus_client,
    "instrumentator": instrumentator,
    "opentelemetry": opentelemetry,
}


async def receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(_: Any) -> None: ...


def answer(app: App) -> None:
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": "/users/1", "raw_path": b"/users/1", "query_string": b"", "root_path": "",
        "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    try:
        app(scope, receive, send).send(None)
    except StopIteration:
        return
    sys.exit("the application waits for something")


def main(peer: str, number: int | None) -> None:
    app = PEERS[peer](bare)
    gc.disable()
    if number is not None:
        for _ in range(number):
            answer(app)
        return
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time_ns()
        for _ in range(PER_ROUND):
            answer(app)
        best = min(best, (time.process_time_ns() - began) / PER_ROUND)
    print(best)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else None)
