"""WebSocket connections: how many are open, how long they lasted, how they ended."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from observability.instrumentation.asgi import ASGIApp, Message, Receive, Scope, Send
from observability.instrumentation.requests import metrics
from observability.instrumentation.requests.middleware import RequestMetrics
from tests.unit.instrumentation.driving import counted, drive

CONNECT: Message = {"type": "websocket.connect"}
ACCEPT: Message = {"type": "websocket.accept"}


def gone(code: int) -> Message:
    """The client has closed the connection."""
    return {"type": "websocket.disconnect", "code": code}


def closing(code: int) -> Message:
    """The application closes the connection."""
    return {"type": "websocket.close", "code": code}


def socket_app(*answers: Message, error: BaseException | None = None) -> ASGIApp:
    """An application that sends these messages, then listens to the end, then perhaps fails."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["path_template"] = "/ws/{room}"
        for message in answers:
            await send(message)
        while not answers or answers[-1]["type"] == "websocket.accept":
            if (await receive())["type"] == "websocket.disconnect":
                break
        if error:
            raise error

    return app


class WebSocketDisconnect(Exception):  # noqa: N818 -- Starlette's name
    """What Starlette raises when the other side has closed the connection."""


@pytest.mark.parametrize(
    ("app", "messages", "error", "exceptions"),
    [
        pytest.param(socket_app(ACCEPT), (CONNECT, gone(1000)), "", {}, id="closed-by-client"),
        pytest.param(socket_app(ACCEPT), (CONNECT, gone(1001)), "", {}, id="client-going-away"),
        pytest.param(socket_app(ACCEPT, closing(1000)), (CONNECT,), "", {}, id="closed-by-server"),
        pytest.param(socket_app(ACCEPT), (CONNECT, gone(1006)), "client_disconnected", {}, id="client-vanished"),
        pytest.param(socket_app(ACCEPT, closing(1008)), (CONNECT, gone(1000)), "1008", {}, id="policy"),
        pytest.param(socket_app(ACCEPT, closing(4711)), (CONNECT,), "_OTHER", {}, id="code-of-the-application"),
        pytest.param(socket_app(closing(1000)), (CONNECT,), "rejected", {}, id="rejected"),
        pytest.param(
            socket_app(ACCEPT, error=KeyError()),
            (CONNECT, gone(1000)),
            "KeyError",
            {("KeyError", "/ws/{room}"): 1},
            id="exception",
        ),
        pytest.param(
            socket_app(ACCEPT, error=WebSocketDisconnect()), (CONNECT, gone(1000)), "", {}, id="end-as-exception"
        ),
    ],
)
async def test_ends(
    app: ASGIApp,
    messages: tuple[Message, ...],
    error: str,
    exceptions: dict[tuple[str, ...], float],
    request: pytest.FixtureRequest,
) -> None:
    """A connection is counted once, with how it ended, and is open no more."""
    wrapped = RequestMetrics(app, name=request.node.name)
    with contextlib.suppress(Exception):
        await drive(wrapped, {"type": "websocket", "path": "/ws/1", "scheme": "ws"}, *messages)
    assert counted(wrapped, metrics.SOCKET_DURATION) == {(error, "/ws/{room}", "ws"): 1}
    assert counted(wrapped, metrics.SOCKETS) == {("/ws/{room}", "ws"): 0}
    assert counted(wrapped, metrics.EXCEPTIONS) == exceptions
    assert counted(wrapped, metrics.DURATION) == {}


async def test_open(request: pytest.FixtureRequest) -> None:
    """A connection is open from its acceptance on, and a cancelled one no more."""
    accepted = asyncio.Event()

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        await receive()
        assert counted(wrapped, metrics.SOCKETS) == {}
        await send(ACCEPT)
        accepted.set()
        await receive()

    wrapped = RequestMetrics(app, name=request.node.name)
    task = asyncio.create_task(drive(wrapped, {"type": "websocket", "path": "/", "scheme": "wss"}, CONNECT))
    await accepted.wait()
    assert counted(wrapped, metrics.SOCKETS) == {("", "wss"): 1}
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counted(wrapped, metrics.SOCKETS) == {("", "wss"): 0}
    assert counted(wrapped, metrics.SOCKET_DURATION) == {("cancelled", "", "wss"): 1}
