"""Routes: always the template of all of the way, never the path."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Host, Mount, Route, Router, WebSocketRoute
from starlette.websockets import WebSocket

from observability.instrumentation.asgi import ASGIApp, Receive, Scope, Send
from observability.instrumentation.own_errors import ERRORS
from observability.instrumentation.requests import metrics
from observability.instrumentation.requests.middleware import RequestMetrics
from tests.unit.instrumentation.driving import OK, answering, counted, drive, http_scope, part


async def ok(_: Request) -> Response:
    """Answer."""
    return PlainTextResponse("ok")


async def shared(_: Request) -> Response:
    """Answer at several places."""
    return PlainTextResponse("ok")


async def other(_: Request, extra: int = 0) -> Response:
    """Answer, with something bound to it."""
    return PlainTextResponse(str(extra))


async def talk(socket: WebSocket) -> None:
    """Accept and close."""
    await socket.accept()
    await socket.close()


class Endpoint(HTTPEndpoint):
    """An endpoint that is a class."""

    async def get(self, _: Request) -> Response:
        """Answer."""
        return PlainTextResponse("ok")


class Passing:
    """A middleware that does nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass."""
        await self.app(scope, receive, send)


def starlette() -> Starlette:
    """Every way in which Starlette leads to an endpoint."""
    tenant = Router([Route("/users/{id:int}", shared), Mount("/deep", routes=[Route("/{x}", ok)])])
    return Starlette(
        routes=[
            Route("/users/{id:int}", shared),
            Route("/class/{id}", Endpoint),
            Route("/files/{path:path}", other),
            Route("/bound", partial(other, extra=1)),
            Mount("/tenants/{tenant}", app=tenant),
            Mount("/behind", app=Passing(Passing(Starlette(routes=[Route("/middleware/{x}", Endpoint)])))),
            Mount("/with", routes=[Route("/own/{x}", Endpoint)], middleware=[Middleware(Passing)]),
            Mount("/foreign", app=answering(OK, part())),
            Host("api.example.org", app=Router([Route("/only/{here}", Endpoint)])),
            WebSocketRoute("/ws/{room}", talk),
        ]
    )


def fastapi() -> FastAPI:
    """Every way in which FastAPI leads to an endpoint."""
    app, sub, router, inner = FastAPI(), FastAPI(), APIRouter(prefix="/v1"), APIRouter()

    @inner.get("/users/{name}")
    async def user(name: str) -> str:
        return name

    @app.get("/items/{number}")
    async def item(number: int) -> int:
        return number

    @sub.get("/x/{y}")
    async def below(y: str) -> str:
        return y

    router.include_router(inner, prefix="/deep")
    app.include_router(router, prefix="/api")
    app.include_router(inner, prefix="/by/{tenant}")
    app.mount("/sub", sub)
    app.mount("/t/{tenant}/sub", sub)
    return app


def routes_of(wrapped: RequestMetrics) -> set[str]:
    """The routes that were told."""
    return {labels[3] for labels in counted(wrapped, metrics.DURATION)}


STARLETTE = [
    ("/users/7", "/users/{id}"),
    ("/class/7", "/class/{id}"),
    ("/files/a/b/c", "/files/{path}"),
    ("/bound", "/bound"),
    ("/tenants/a/users/7", "/tenants/{tenant}/users/{id}"),
    ("/tenants/a/deep/b", "/tenants/{tenant}/deep/{x}"),
    ("/tenants/a/nothing", "/tenants/{tenant}/{path}"),
    ("/behind/middleware/x", "/behind/middleware/{x}"),
    ("/with/own/x", "/with/own/{x}"),
    ("/foreign/a/b", "/foreign/{path}"),
    ("/nothing", ""),
]
FASTAPI = [
    ("/items/7", "/items/{number}"),
    ("/items/no-number", "/items/{number}"),
    ("/api/v1/deep/users/bo", "/api/v1/deep/users/{name}"),
    ("/by/me/users/bo", "/by/{tenant}/users/{name}"),
    ("/sub/x/1", "/sub/x/{y}"),
    ("/t/5/sub/x/1", "/t/{tenant}/sub/x/{y}"),
    ("/openapi.json", "/openapi.json"),
    ("/nothing", ""),
]


@pytest.mark.parametrize("root", ["", "/root"])
@pytest.mark.parametrize("place", ["outside", "inside"])
@pytest.mark.parametrize(
    ("make", "path", "route"),
    [
        *(pytest.param(starlette, *case, id=f"starlette{case[0]}") for case in STARLETTE),
        *(pytest.param(fastapi, *case, id=f"fastapi{case[0]}") for case in FASTAPI),
    ],
)
async def test_template(  # noqa: PLR0913, PLR0917 -- a table
    make: Callable[[], Starlette], path: str, route: str, place: str, root: str, request: pytest.FixtureRequest
) -> None:
    """The route is that of the whole way with the application's root, each time, around the application or within it."""
    app = make()
    if place == "inside":
        app.add_middleware(RequestMetrics, name=request.node.name, runtime=False)
    wrapped = RequestMetrics(app, name=request.node.name, runtime=False)
    for _ in range(2):
        await drive(app if place == "inside" else wrapped, http_scope(root + path, root_path=root))
    assert routes_of(wrapped) == {root + route if route else ""}
    assert sum(counted(wrapped, metrics.DURATION).values()) == 2
    assert counted(wrapped, ERRORS) == {("requests",): 0}


async def test_what_is_mounted_below(request: pytest.FixtureRequest) -> None:
    """Who wraps only what is mounted gets the whole template all the same, and never the values in it."""
    wrapped = RequestMetrics(Starlette(routes=[Route("/x/{y}", ok)]), name=request.node.name)
    app: Any = Starlette(routes=[Mount("/t/{tenant}", app=wrapped)])
    for tenant in range(5):
        await drive(app, http_scope(f"/t/{tenant}/x/1"))
    assert routes_of(wrapped) == {"/t/{tenant}/x/{y}"}


async def test_method_not_allowed(request: pytest.FixtureRequest) -> None:
    """A route that does not take the method is the route all the same."""
    wrapped = RequestMetrics(starlette(), name=request.node.name)
    await drive(wrapped, http_scope("/users/7", "DELETE"))
    assert counted(wrapped, metrics.DURATION) == {("", "DELETE", "405", "/users/{id}", "http"): 1}


async def test_host(request: pytest.FixtureRequest) -> None:
    """The routes of a host have no prefix."""
    wrapped = RequestMetrics(starlette(), name=request.node.name)
    await drive(wrapped, http_scope("/only/me", headers=[(b"host", b"api.example.org")]))
    assert routes_of(wrapped) == {"/only/{here}"}


async def test_socket(request: pytest.FixtureRequest) -> None:
    """A WebSocket connection has the template of its route."""
    wrapped = RequestMetrics(starlette(), name=request.node.name)
    scope = {**http_scope("/ws/7"), "type": "websocket", "scheme": "ws", "subprotocols": []}
    await drive(wrapped, scope, {"type": "websocket.connect"})
    assert counted(wrapped, metrics.SOCKET_DURATION) == {("", "/ws/{room}", "ws"): 1}


async def test_litestar(request: pytest.FixtureRequest) -> None:
    """A framework that says the template in the scope is believed, each time."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["path_template"] = "/a/{id}" if scope["path"] < "/b" else "/b/{id}"
        await answering(OK, part())(scope, receive, send)

    wrapped = RequestMetrics(app, name=request.node.name)
    for path in ("/a/1", "/b/1", "/a/2"):
        await drive(wrapped, http_scope(path))
    assert counted(wrapped, metrics.DURATION) == {
        ("", "GET", "200", "/a/{id}", "http"): 2,
        ("", "GET", "200", "/b/{id}", "http"): 1,
    }


async def test_a_route_that_was_added_later(request: pytest.FixtureRequest) -> None:
    """A route that did not exist at the first request is found all the same."""
    app = Starlette(routes=[Route("/one/{x}", ok)])
    wrapped = RequestMetrics(app, name=request.node.name)
    await drive(wrapped, http_scope("/one/1"))
    app.router.routes.append(Route("/two/{x}", shared))
    await drive(wrapped, http_scope("/two/1"))
    assert routes_of(wrapped) == {"/one/{x}", "/two/{x}"}


async def test_a_resolver_only_where_the_framework_is_silent(request: pytest.FixtureRequest) -> None:
    """What an operator says about routes fills the gap that the framework leaves."""

    def resolve(scope: Scope) -> str | None:
        return "/legacy/{page}" if scope["path"].startswith("/legacy/") else None

    wrapped = RequestMetrics(starlette(), name=request.node.name, route=resolve)
    for path in ("/users/7", "/legacy/index.php", "/nothing"):
        await drive(wrapped, http_scope(path))
    assert routes_of(wrapped) == {"/users/{id}", "/legacy/{page}", ""}


async def test_routes_are_bounded(request: pytest.FixtureRequest) -> None:
    """A resolver that gives paths costs a bounded number of series."""
    wrapped = RequestMetrics(
        answering(OK, part()), name=request.node.name, route=lambda scope: scope["path"], most_routes=10
    )
    for number in range(50):
        await drive(wrapped, http_scope(f"/{number}"))
    told = counted(wrapped, metrics.DURATION)
    assert len(told) == 11
    assert told["", "GET", "200", "_OTHER", "http"] == 40


async def test_an_endpoint_that_nothing_leads_to(request: pytest.FixtureRequest) -> None:
    """An endpoint of an unknown router is told by its own route, if that says where it is, and else not at all."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["endpoint"] = ok
        if scope["path"] == "/known":
            scope["route"] = Route("/known/{x}", ok)
        await answering(OK, part())(scope, receive, send)

    wrapped = RequestMetrics(app, name=request.node.name)
    for path in ("/known", "/unknown"):
        await drive(wrapped, http_scope(path))
    assert routes_of(wrapped) == {"/known/{x}", ""}
