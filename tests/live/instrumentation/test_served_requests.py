"""Requests to a real uvicorn, on both event loops: what is served is what was asked for and how it went."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from observability import RequestMetrics, metrics_app, runtime_metrics
from observability.instrumentation.own_errors import ERRORS
from observability.instrumentation.requests import metrics
from observability.instrumentation.runtime import metrics as runtime
from tests.live.instrumentation.serving import ThreadServer, until

PARTS = 3
NAP_SECONDS = 0.05
CHUNK = b"x" * 1000


class Service:
    """Endpoints that do what endpoints do wrong."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.late = threading.Event()

    async def hello(self, request: Request) -> Response:
        """Answer."""
        return PlainTextResponse(request.path_params["name"])

    async def boom(self, _: Request) -> Response:
        """Fail."""
        raise LookupError("boom")

    async def wait(self, _: Request) -> Response:
        """Answer when the test says so."""
        while not self.go_on.is_set():  # noqa: ASYNC110 -- set by another thread
            await asyncio.sleep(0.005)
        return PlainTextResponse("done")

    async def stream(self, request: Request) -> Response:
        """Answer in parts."""

        async def parts() -> AsyncIterator[bytes]:
            for _ in range(int(request.query_params.get("parts", PARTS))):
                await asyncio.sleep(NAP_SECONDS)
                yield CHUNK

        return StreamingResponse(parts())

    async def block(self, _: Request) -> Response:
        """Block the event loop."""
        time.sleep(0.4)  # noqa: ASYNC251 -- what it must find
        return PlainTextResponse("done")

    async def background(self, _: Request) -> Response:
        """Answer, then fail where nobody sees it."""

        async def fail() -> None:
            await asyncio.sleep(5 * NAP_SECONDS)
            self.late.set()
            raise KeyError("late")

        return PlainTextResponse("done", background=BackgroundTask(fail))

    def app(self) -> Starlette:
        """The endpoints."""
        return Starlette(
            routes=[
                Route("/hello/{name}", self.hello),
                Route("/boom", self.boom),
                Route("/wait", self.wait),
                Route("/stream/{what}", self.stream),
                Route("/block", self.block),
                Route("/background", self.background),
                Mount("/metrics", metrics_app()),
            ]
        )


@pytest.fixture
def service() -> Service:
    """Endpoints of one test."""
    return Service()


@pytest.fixture(params=["asyncio", "uvloop"])
def server(request: pytest.FixtureRequest, service: Service) -> Iterator[ThreadServer]:
    """A server of one test, whose application counts for itself."""
    name = request.node.name
    with ThreadServer(RequestMetrics(service.app(), name=name), request.param, name) as server:
        yield server
    runtime_metrics().stop()


def test_load(server: ThreadServer) -> None:
    """Under load from several sides, every request is counted under its route and status."""

    def client(number: int) -> None:
        for each in range(20):
            assert server.get(f"/hello/{number}-{each}") == (200, f"{number}-{each}")
            assert server.get(f"/nothing/{number}-{each}")[0] == 404

    with ThreadPoolExecutor(4) as clients:
        list(clients.map(client, range(4)))
    hello = {"http_route": "/hello/{name}", "http_response_status_code": "200", "http_request_method": "GET"}
    assert server.value(metrics.DURATION, **hello) == 80
    assert server.value(metrics.DURATION, http_response_status_code="404") == 80
    assert {found.get("http_route", "") for found, _ in server.scrape(metrics.DURATION)} == {
        "/hello/{name}",
        "/metrics/{path}",
        "",
    }
    # The scrape itself is being answered.
    assert server.value(metrics.ACTIVE) == 1
    assert server.value(ERRORS, part="requests") == 0


def test_stream(server: ThreadServer) -> None:
    """A stream lasts to its last byte; its first byte has a time of its own."""
    assert server.get("/stream/x") == (200, (CHUNK * PARTS).decode())
    assert server.value(metrics.DURATION, http_route="/stream/{what}") == 1
    first, whole = (
        sum(value for labels, value in server.scrape(metric, "_sum") if labels["http_route"] == "/stream/{what}")
        for metric in (metrics.FIRST_BYTE, metrics.DURATION)
    )
    assert first >= 0.9 * NAP_SECONDS
    assert whole - first >= 0.9 * (PARTS - 1) * NAP_SECONDS


def test_client_leaves_a_stream(server: ThreadServer) -> None:
    """A client that leaves in the middle of a stream is no error of the server."""
    server.leave_early("/stream/x?parts=1000", after=CHUNK)
    left = {"http_route": "/stream/{what}", "error_type": metrics.CLIENT_DISCONNECTED}
    until(lambda: server.value(metrics.DURATION, **left) == 1)
    assert server.value(metrics.EXCEPTIONS) == 0
    until(lambda: server.value(metrics.ACTIVE) == 1)


def test_client_leaves_before_the_answer(server: ThreadServer, service: Service) -> None:
    """An answer that nobody waits for any more is told apart, though the application and the server say nothing."""
    server.leave_early("/wait")
    until(lambda: server.value(metrics.OLDEST, http_route="/wait") > 0.1)
    service.go_on.set()
    left = {"http_route": "/wait", "error_type": metrics.CLIENT_DISCONNECTED}
    until(lambda: server.value(metrics.DURATION, **left) == 1)
    assert server.value(metrics.DURATION, http_route="/wait") == 1


def test_exception(server: ThreadServer) -> None:
    """An exception is what it was, and the client gets its 500."""
    assert server.get("/boom")[0] == 500
    assert server.value(metrics.DURATION, http_route="/boom", error_type="500", http_response_status_code="500") == 1
    assert server.value(metrics.EXCEPTIONS, http_route="/boom", error_type="LookupError") == 1


def test_background(server: ThreadServer, service: Service) -> None:
    """What is done after the answer makes the request no longer; if it fails, that is counted."""
    assert server.get("/background") == (200, "done")
    assert server.value(metrics.DURATION, http_route="/background") == 1
    assert not service.late.is_set()
    until(lambda: server.value(metrics.EXCEPTIONS, http_route="/background", error_type="KeyError") == 1)


def test_in_flight(server: ThreadServer, service: Service) -> None:
    """Requests that wait are seen while they do."""
    with ThreadPoolExecutor(5) as clients:
        waiting = [clients.submit(server.get, "/wait") for _ in range(5)]
        until(lambda: server.value(metrics.ACTIVE) == 1 + 5)
        until(lambda: server.value(metrics.OLDEST, http_route="/wait") > 0.1)
        service.go_on.set()
        assert [each.result() for each in waiting] == [(200, "done")] * 5
    assert server.value(metrics.ACTIVE) == 1
    assert server.value(metrics.DURATION, http_route="/wait") == 5


def test_blocked_loop(server: ThreadServer) -> None:
    """An endpoint that blocks the event loop shows as lag, and as nothing else."""
    until(lambda: server.value(runtime.LAG, loop="main") > 0)
    assert server.get("/block")[0] == 200
    until(lambda: server.value(runtime.LAG_MAX, loop="main") > 0.25)
    assert server.value(metrics.EXCEPTIONS) == 0
