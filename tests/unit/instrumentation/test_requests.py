"""Requests: every way in which one can end is counted once, as what it was."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import weakref
from collections.abc import Callable
from itertools import count

import pytest

from observability.instrumentation import registry
from observability.instrumentation.asgi import ASGIApp, Message, Receive, Scope, Send
from observability.instrumentation.own_errors import ERRORS
from observability.instrumentation.requests import metrics
from observability.instrumentation.requests.middleware import RequestMetrics
from observability.metrics import Histogram
from tests.unit.instrumentation.driving import (
    DISCONNECT,
    OK,
    REQUEST,
    Wire,
    answering,
    counted,
    drive,
    http_scope,
    part,
    total_seconds,
)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name that no other test's application has."""
    return str(request.node.name)


@pytest.fixture
def measured(name: str) -> Callable[[ASGIApp], RequestMetrics]:
    """Wrap an application that counts for itself."""
    return lambda app: RequestMetrics(app, name=name, runtime=False)


Measured = Callable[[ASGIApp], RequestMetrics]


async def raising(_: Scope, __: Receive, ___: Send) -> None:
    """Fail before there is an answer."""
    raise ValueError("no")


async def raising_late(_: Scope, __: Receive, send: Send) -> None:
    """Fail in the middle of the answer."""
    await send(OK)
    await send(part(more=True))
    raise LookupError("no")


async def raising_after(_: Scope, __: Receive, send: Send) -> None:
    """Fail when the answer is complete, as a background task does."""
    await send(OK)
    await send(part())
    raise KeyError("no")


class ClientDisconnect(Exception):  # noqa: N818 -- Starlette's name
    """What Starlette raises when it cannot send."""


async def sending_to_nobody(_: Scope, __: Receive, send: Send) -> None:
    """Find that the client is gone."""
    await send(OK)
    raise ClientDisconnect


async def stopping_when_told(_: Scope, receive: Receive, send: Send) -> None:
    """Stream until the client is gone, as Starlette does."""
    await send(OK)
    await send(part(more=True))
    while (await receive())["type"] != "http.disconnect":
        pass


async def answering_the_gone(_: Scope, receive: Receive, send: Send) -> None:
    """Answer although the client is known to be gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    await send(OK)
    await send(part())


@pytest.mark.parametrize(
    ("app", "messages", "labels"),
    [
        pytest.param(answering(OK, part()), (), ("", "GET", "200", "", "http"), id="answered"),
        pytest.param(answering(OK, part(more=True), part(b"")), (), ("", "GET", "200", "", "http"), id="streamed"),
        pytest.param(
            answering({**OK, "status": 503}, part()), (), ("503", "GET", "503", "", "http"), id="error-of-server"
        ),
        pytest.param(answering({**OK, "status": 404}, part()), (), ("", "GET", "404", "", "http"), id="not-found"),
        pytest.param(
            answering(OK, {"type": "http.response.pathsend", "path": "/x"}),
            (),
            ("", "GET", "200", "", "http"),
            id="file",
        ),
        pytest.param(raising, (), ("ValueError", "GET", "", "", "http"), id="exception"),
        pytest.param(raising_late, (), ("LookupError", "GET", "200", "", "http"), id="exception-in-answer"),
        pytest.param(raising_after, (), ("", "GET", "200", "", "http"), id="exception-after-answer"),
        pytest.param(answering(), (), ("incomplete_response", "GET", "", "", "http"), id="no-answer"),
        pytest.param(answering(OK), (), ("incomplete_response", "GET", "200", "", "http"), id="half-an-answer"),
        pytest.param(
            sending_to_nobody, (), ("client_disconnected", "GET", "200", "", "http"), id="client-gone-on-send"
        ),
        pytest.param(
            stopping_when_told,
            (REQUEST, DISCONNECT),
            ("client_disconnected", "GET", "200", "", "http"),
            id="client-gone-while-streaming",
        ),
        pytest.param(
            answering_the_gone,
            (REQUEST, DISCONNECT),
            ("client_disconnected", "GET", "200", "", "http"),
            id="client-gone-before-answer",
        ),
    ],
)
async def test_ends(app: ASGIApp, messages: tuple[Message, ...], labels: tuple[str, ...], measured: Measured) -> None:
    """A request is counted once, with how it ended, and is in flight no more."""
    wrapped = measured(app)
    with contextlib.suppress(Exception):
        await drive(wrapped, http_scope(), *messages)
    assert counted(wrapped, metrics.DURATION) == {labels: 1}
    assert counted(wrapped, metrics.ACTIVE) == {("GET", "http"): 0}
    assert counted(wrapped, metrics.OLDEST) == {}
    assert counted(wrapped, ERRORS) == {("requests",): 0}


@pytest.mark.parametrize(
    ("app", "exceptions"),
    [
        pytest.param(raising, {("ValueError", ""): 1}, id="before-answer"),
        pytest.param(raising_after, {("KeyError", ""): 1}, id="after-answer"),
        pytest.param(sending_to_nobody, {}, id="client-gone"),
    ],
)
async def test_exceptions(app: ASGIApp, exceptions: dict[tuple[str, ...], float], measured: Measured) -> None:
    """An exception reaches the server as it was raised, and is counted unless it says that the client is gone."""
    wrapped = measured(app)
    with pytest.raises((ValueError, KeyError, ClientDisconnect)) as caught:
        await drive(wrapped, http_scope())
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert counted(wrapped, metrics.EXCEPTIONS) == exceptions


async def test_messages_pass_untouched(measured: Measured) -> None:
    """What the application sends is what the server gets."""
    messages = [OK, part(b"a", more=True), part(b"b")]
    assert await drive(measured(answering(*messages)), http_scope()) == messages


async def test_in_flight(measured: Measured) -> None:
    """While a request is answered it is active, and its age and route are told."""
    entered, leave = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        scope["path_template"] = "/slow/{id}"
        entered.set()
        await leave.wait()
        await send(OK)
        await send(part())

    wrapped = measured(app)
    task = asyncio.create_task(drive(wrapped, http_scope("/slow/1", "POST")))
    await entered.wait()
    assert counted(wrapped, metrics.ACTIVE) == {("POST", "http"): 1}
    [(labels, age)] = counted(wrapped, metrics.OLDEST).items()
    assert labels == ("/slow/{id}",)
    assert age > 0
    leave.set()
    await task
    assert counted(wrapped, metrics.ACTIVE) == {("POST", "http"): 0}


async def test_cancelled(measured: Measured) -> None:
    """A request that the server cancels is no error of the application."""
    entered = asyncio.Event()

    async def app(_: Scope, __: Receive, ___: Send) -> None:
        entered.set()
        await asyncio.Event().wait()

    wrapped = measured(app)
    task = asyncio.create_task(drive(wrapped, http_scope()))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counted(wrapped, metrics.DURATION) == {("cancelled", "GET", "", "", "http"): 1}
    assert counted(wrapped, metrics.EXCEPTIONS) == {}
    assert counted(wrapped, metrics.ACTIVE) == {("GET", "http"): 0}


async def test_measured_to_the_last_byte(measured: Measured) -> None:
    """A request lasts until its last byte was taken, and no longer, whatever the application does afterwards."""
    seconds = 0.05

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send(OK)
        await send(part(b"", more=True))
        await asyncio.sleep(seconds)
        await send(part(more=True))
        await asyncio.sleep(seconds)
        await send(part(b""))
        await asyncio.sleep(10 * seconds)

    wrapped = measured(app)
    await drive(wrapped, http_scope())
    assert 2 * seconds <= total_seconds(wrapped, metrics.DURATION) < 10 * seconds
    assert seconds <= total_seconds(wrapped, metrics.FIRST_BYTE) < total_seconds(wrapped, metrics.DURATION)


async def test_no_first_byte_of_one_part(measured: Measured) -> None:
    """An answer in one part has no time to its first byte: it is the duration."""
    wrapped = measured(answering(OK, part()))
    await drive(wrapped, http_scope())
    assert counted(wrapped, metrics.FIRST_BYTE) == {}


async def test_a_server_that_knows_that_its_client_is_gone(measured: Measured) -> None:
    """Uvicorn takes an answer for a client that is gone without a word, but knows."""

    class Cycle(Wire):
        disconnected = True

    wrapped, cycle = measured(answering(OK, part())), Cycle()
    await wrapped(http_scope(), cycle.receive, cycle.send)
    assert counted(wrapped, metrics.DURATION) == {("client_disconnected", "GET", "200", "", "http"): 1}


async def test_the_end_of_the_answer_is_no_disconnect(measured: Measured) -> None:
    """Servers say `http.disconnect` after a complete answer too; that is no client who left."""

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        listening = asyncio.ensure_future(receive())
        await send(OK)
        wire.on_send = lambda _: told.set()
        await send(part())
        await listening

    told = asyncio.Event()
    wire = Wire()

    async def receive() -> Message:
        await told.wait()
        return DISCONNECT

    wrapped = measured(app)
    await wrapped(http_scope(), receive, wire.send)
    assert counted(wrapped, metrics.DURATION) == {("", "GET", "200", "", "http"): 1}


@pytest.mark.parametrize(
    ("method", "told"),
    [("GET", "GET"), ("QUERY", "QUERY"), ("PROPFIND", "_OTHER"), ("get", "_OTHER"), ("x" * 99, "_OTHER")],
)
async def test_methods(method: str, told: str, measured: Measured) -> None:
    """Methods that the conventions do not know are one, however many a client invents."""
    wrapped = measured(answering(OK, part()))
    await drive(wrapped, http_scope(method=method))
    assert counted(wrapped, metrics.DURATION) == {("", told, "200", "", "http"): 1}


async def test_methods_of_ones_own(name: str) -> None:
    """An application that has other methods can name them."""
    wrapped = RequestMetrics(answering(OK, part()), name=name, methods=("PROPFIND",))
    await drive(wrapped, http_scope(method="PROPFIND"))
    await drive(wrapped, http_scope(method="GET"))
    assert set(counted(wrapped, metrics.ACTIVE)) == {("PROPFIND", "http"), ("_OTHER", "http")}


async def test_no_series_by_guessing(measured: Measured) -> None:
    """A scan of a thousand paths with a thousand methods makes a handful of series."""
    wrapped = measured(answering({**OK, "status": 404}, part()))
    for number in range(1000):
        await drive(wrapped, http_scope(f"/{number}", f"M{number}"))
    assert counted(wrapped, metrics.DURATION) == {("", "_OTHER", "404", "", "http"): 1000}
    assert wrapped._ledger.here.tally.shortcuts == {}


async def test_errors_are_bounded(measured: Measured) -> None:
    """Classes of exceptions that are made while the program runs do not become series without end."""
    numbers = count()

    async def app(_: Scope, __: Receive, ___: Send) -> None:
        raise type(f"Error{next(numbers)}", (ValueError,), {})

    wrapped = measured(app)
    for _ in range(150):
        with pytest.raises(ValueError, match=r"^$"):
            await drive(wrapped, http_scope())
    exceptions = counted(wrapped, metrics.EXCEPTIONS)
    assert len(exceptions) == 101
    assert exceptions["_OTHER", ""] == 50
    assert sum(exceptions.values()) == 150


async def test_wrapped_twice_counts_once(measured: Measured) -> None:
    """Who wraps an application, and adds the middleware to it as well, counts each request once."""
    wrapped = measured(measured(answering(OK, part())))
    await drive(wrapped, http_scope())
    assert counted(wrapped, metrics.DURATION) == {("", "GET", "200", "", "http"): 1}


async def test_applications_without_a_name_are_counted_together() -> None:
    """Several applications of a process give one sum: none hides another's series."""
    one, other = RequestMetrics(answering(OK, part())), RequestMetrics(answering(OK, part()))
    before = sum(counted(one, metrics.DURATION).values())
    await drive(one, http_scope())
    await drive(other, http_scope())
    assert sum(counted(one, metrics.DURATION).values()) == before + 2
    assert one._ledger is other._ledger


async def test_applications_with_names_are_told_apart(name: str) -> None:
    """A name is a label of each series."""
    wrapped = RequestMetrics(answering(OK, part()), name=name)
    await drive(wrapped, http_scope())
    [batch] = wrapped._ledger.collect()
    assert batch.attributes == (("app", name),)


async def test_threads_lose_nothing(measured: Measured) -> None:
    """Event loops in several threads count exactly, and what ended threads have counted remains."""
    wrapped = measured(answering(OK, part()))

    async def many() -> None:
        for _ in range(200):
            await drive(wrapped, http_scope())

    for _ in range(3):
        threads = [threading.Thread(target=lambda: asyncio.run(many())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert counted(wrapped, metrics.DURATION) == {("", "GET", "200", "", "http"): 3 * 4 * 200}
    assert len(wrapped._ledger._tallies.all()) <= 1 + 4


async def test_buckets_are_those_of_the_conventions(measured: Measured) -> None:
    """The histogram has the boundaries that OpenTelemetry advises, and its count is the number of requests."""
    advised = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
    assert list(metrics.DURATION.buckets) == advised
    wrapped = measured(answering(OK, part()))
    await drive(wrapped, http_scope())
    [value] = [
        each.value for batch in wrapped._ledger.collect() for each in batch.samples if each.metric is metrics.DURATION
    ]
    assert isinstance(value, Histogram)
    assert len(value.counts) == len(metrics.DURATION.buckets) + 1
    assert value.count == 1


async def test_a_broken_resolver_is_not_the_applications_problem(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """An error in our own way of counting is counted and said once; the answer is as it would have been."""

    def resolve(_: Scope) -> str:
        raise RuntimeError("broken")

    wrapped = RequestMetrics(answering(OK, part()), name=name, route=resolve)
    for _ in range(3):
        assert await drive(wrapped, http_scope()) == [OK, part()]
    assert counted(wrapped, metrics.DURATION) == {("", "GET", "200", "", "http"): 3}
    assert counted(wrapped, ERRORS)["requests",] >= 3
    assert len(caplog.records) == 1


@pytest.mark.parametrize("app", [answering(OK, part()), answering(OK), raising], ids=["answered", "half", "raised"])
async def test_bugs_of_our_own_stay_here(app: ASGIApp, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever breaks in the counting, the application's messages and errors pass as ever, and the break is counted."""
    wrapped, bare = RequestMetrics(app, name=name), app

    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("observability.instrumentation.requests.ledger.Tally.observations", fail)
    monkeypatch.setattr("observability.instrumentation.requests.ledger.Ledger.count", fail)
    sent, errors = [], []
    for each in (wrapped, bare):
        wire = Wire(REQUEST)
        try:
            await each(http_scope(), wire.receive, wire.send)
        except Exception as error:  # noqa: BLE001 -- compared below
            errors.append(repr(error))
        sent.append(wire.sent)
    assert sent[0] == sent[1]
    assert len(set(errors)) <= 1
    assert wrapped._ledger.errors.sample().value == 1


async def test_a_runtime_that_cannot_be_watched(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The application starts all the same."""

    def fail() -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("observability.instrumentation.runtime.monitor.runtime_metrics", fail)
    wrapped = RequestMetrics(answering({"type": "lifespan.startup.complete"}), name=name)
    assert await drive(wrapped, {"type": "lifespan"}) == [{"type": "lifespan.startup.complete"}]
    assert wrapped._ledger.errors.sample().value == 1


async def test_nothing_is_kept(name: str) -> None:
    """An application that is gone leaves nothing, nor does a request."""

    class App:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await answering(OK, part())(scope, receive, send)

    app = App()
    wrapped = RequestMetrics(app, name=name)
    ledger = weakref.ref(wrapped._ledger)
    await drive(wrapped, http_scope())
    assert wrapped._ledger in registry.known()
    gone = weakref.ref(app)
    del app, wrapped
    gc.collect()
    assert [gone(), ledger()] == [None, None]


async def test_a_forked_child_starts_from_nothing(measured: Measured) -> None:
    """What the parent has counted is the parent's."""
    wrapped = measured(answering(OK, part()))
    await drive(wrapped, http_scope())
    wrapped._ledger.forget()
    assert counted(wrapped, metrics.DURATION) == {}
    await drive(wrapped, http_scope())
    assert counted(wrapped, metrics.DURATION) == {("", "GET", "200", "", "http"): 1}


async def test_other_scopes_pass(measured: Measured) -> None:
    """What is neither a request nor a connection is the application's alone."""
    seen = []

    async def app(scope: Scope, _: Receive, __: Send) -> None:
        seen.append(scope["type"])

    wrapped = measured(app)
    for kind in ("lifespan", "something.new"):
        await drive(wrapped, {"type": kind})
    assert seen == ["lifespan", "something.new"]
    assert counted(wrapped, metrics.DURATION) == {}
