"""The three questions, and who gets which answer."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from types import FrameType
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from observability.errors import InstrumentationError
from observability.instrumentation import registry
from observability.instrumentation.asgi import Message, Receive, Scope, Send
from observability.instrumentation.health import metrics, server
from observability.instrumentation.health.app import HealthApp, health_app
from observability.instrumentation.health.check import HealthCheck
from observability.instrumentation.health.drain import TerminationDelay
from observability.instrumentation.health.metrics import State
from tests.unit.instrumentation.driving import (
    DISCONNECT,
    OK,
    Wire,
    answering,
    drive,
    headers_of,
    http_scope,
    part,
    values,
)

TEXT = [(b"accept", b"text/plain")]


def fine() -> None:
    """Succeed."""


def broken() -> None:
    """Fail with what must not be seen."""
    raise ConnectionRefusedError("postgresql://me:hunter2@db")


FINE = HealthCheck("fine", fine)
BROKEN = HealthCheck("broken", broken)
CRITICAL = HealthCheck("own", broken, critical=True)


@pytest.fixture(autouse=True)
async def _ended() -> AsyncIterator[None]:
    """End what the applications of a test go on doing."""
    yield
    for each in registry.known():
        if isinstance(each, server.ServerHealth):
            each.end()


def make(*checks: HealthCheck, **options: Any) -> HealthApp:
    """An application that leaves the test's signals alone."""
    return health_app(*checks, delay_sigterm=False, **options)


async def ask(app: Any, path: str, **scope: Any) -> tuple[int, str]:
    """The status and the body of an answer."""
    sent = await drive(app, http_scope(path, **scope))
    return sent[0]["status"], b"".join(message["body"] for message in sent[1:]).decode()


@pytest.mark.parametrize(
    ("checks", "path", "answer"),
    [
        pytest.param((), "/livez", (200, "ok"), id="alive"),
        pytest.param((BROKEN, CRITICAL), "/livez", (200, "ok"), id="alive-whatever-else"),
        pytest.param((), "/readyz", (200, "ready"), id="ready"),
        pytest.param((FINE, BROKEN), "/readyz", (200, "ready"), id="ready-without-what-all-share"),
        pytest.param((FINE, CRITICAL), "/readyz", (503, "not_ready"), id="not-ready-without-its-own"),
        pytest.param((), "/healthz", (200, "ok"), id="healthy"),
        pytest.param((FINE,), "/healthz", (200, "ok"), id="all-well"),
        pytest.param((FINE, BROKEN), "/healthz", (503, "failing"), id="something-failing"),
        pytest.param((), "/else", (404, "not found"), id="something-else"),
    ],
)
async def test_answers(checks: tuple[HealthCheck, ...], path: str, answer: tuple[int, str]) -> None:
    """Each question has a status for programs and a word for people, and no details."""
    app = make(*checks)
    status, word = answer
    assert await ask(app, path) == (status, json.dumps({"status": word}) + "\n")
    assert await ask(app, path, headers=TEXT) == (status, f"{word}\n")


async def test_details() -> None:
    """With `verbose`, each check is told with its reason, and nothing that the driver has said."""
    app = make(FINE, BROKEN, CRITICAL, verbose=True)
    status, body = await ask(app, "/healthz", query_string=b"verbose")
    told = json.loads(body)
    for each in told["checks"].values():
        assert each.pop("seconds") >= 0
        assert each.pop("age_seconds") >= 0
    failed = {"ok": False, "reason": "refused", "error": "ConnectionRefusedError"}
    assert (status, told) == (
        503,
        {
            "status": "failing",
            "checks": {
                "fine": {"critical": False, "ok": True},
                "broken": {"critical": False, **failed},
                "own": {"critical": True, **failed},
            },
        },
    )
    _, text = await ask(app, "/healthz", query_string=b"verbose=1", headers=TEXT)
    lines = [line.partition(", ")[0] for line in text.splitlines()]
    assert lines == [
        "[+] fine: ok",
        "[-] broken: failed: refused (ConnectionRefusedError)",
        "[-] own (critical): failed: refused (ConnectionRefusedError)",
        "failing",
    ]
    assert "hunter2" not in body + text


async def test_readiness_tells_what_it_depends_on() -> None:
    """The details of readiness are those of the critical checks."""
    _, body = await ask(make(FINE, CRITICAL, verbose=True), "/readyz", query_string=b"verbose")
    assert list(json.loads(body)["checks"]) == ["own"]


@pytest.mark.parametrize(
    ("verbose", "query", "told"),
    [
        pytest.param(False, b"verbose", False, id="nobody-may"),
        pytest.param(True, b"", False, id="nobody-asks"),
        pytest.param(True, b"verbose=false", False, id="somebody-asks-not-to"),
        pytest.param(True, b"verbose=true", True, id="everybody-may"),
        pytest.param(lambda scope: (b"x-token", b"t") in scope["headers"], b"verbose", True, id="may-by-token"),
        pytest.param(lambda scope: (b"x-token", b"u") in scope["headers"], b"verbose", False, id="wrong-token"),
    ],
)
async def test_who_may_see_details(verbose: bool | Callable[[Scope], bool], query: bytes, told: bool) -> None:
    """Details are for those whom the operator lets see them."""
    _, body = await ask(make(FINE, verbose=verbose), "/healthz", query_string=query, headers=[(b"x-token", b"t")])
    assert ("checks" in json.loads(body)) is told


async def test_http() -> None:
    """HEAD has no body, other methods are refused, and no cache keeps an answer."""
    app = make()
    sent = await drive(app, http_scope("/livez", "HEAD"))
    assert (sent[0]["status"], sent[1]["body"]) == (200, b"")
    assert headers_of(sent)[b"cache-control"] == b"no-store"
    assert (await ask(app, "/livez", method="POST"))[0] == 405


@pytest.mark.parametrize("root", ["", "/root"])
async def test_mounted(root: str) -> None:
    """It answers wherever it is mounted."""
    app = Starlette(routes=[Mount("/health", app=make(FINE))])
    assert (await ask(app, f"{root}/health/healthz", root_path=root))[0] == 200
    assert (await ask(app, f"{root}/health/else", root_path=root))[0] == 404


async def test_around_an_application() -> None:
    """What is not asked here is the application's to answer."""
    app = make(app=answering({**OK, "status": 418}, part(b"tea")))
    assert await ask(app, "/anything") == (418, "tea")
    assert (await ask(app, "/livez"))[0] == 200
    assert (await drive(app, {"type": "websocket"}))[0]["status"] == 418
    assert await drive(make(), {"type": "websocket"}) == [{"type": "websocket.close", "code": 1000}]


async def test_start_and_end() -> None:
    """Until the application has started the server is not ready, but alive; and with the application it ends."""
    starting = asyncio.Event()

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await starting.wait()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    messages: asyncio.Queue[Message] = asyncio.Queue()
    sent: asyncio.Queue[Message] = asyncio.Queue()
    health = make(FINE, app=app)
    life = asyncio.create_task(health({"type": "lifespan"}, messages.get, sent.put))
    messages.put_nowait({"type": "lifespan.startup"})
    await asyncio.sleep(0)
    assert await ask(health, "/readyz", headers=TEXT) == (503, "starting\n")
    assert await ask(health, "/livez", headers=TEXT) == (200, "ok\n")
    starting.set()
    assert (await sent.get())["type"] == "lifespan.startup.complete"
    assert await ask(health, "/readyz", headers=TEXT) == (200, "ready\n")
    renewing = health._health._renewing
    messages.put_nowait({"type": "lifespan.shutdown"})
    assert (await sent.get())["type"] == "lifespan.shutdown.complete"
    await life
    assert renewing is not None
    with pytest.raises(asyncio.CancelledError):
        await renewing


async def test_checks_end_before_the_application() -> None:
    """What an application closes at its end is no longer used by a check."""
    entered, leave, ended = asyncio.Event(), asyncio.Event(), []

    async def slow() -> None:
        entered.set()
        await leave.wait()
        ended.append("check")

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        ended.append("application")

    messages: asyncio.Queue[Message] = asyncio.Queue()
    health = make(HealthCheck("slow", slow, timeout_seconds=30), app=app)
    life = asyncio.create_task(health({"type": "lifespan"}, messages.get, Wire().send))
    messages.put_nowait({"type": "lifespan.startup"})
    await entered.wait()
    messages.put_nowait({"type": "lifespan.shutdown"})
    asyncio.get_running_loop().call_later(0.02, leave.set)
    await life
    assert ended == ["check", "application"]


async def test_an_application_that_knows_no_start() -> None:
    """Such an application is ready when it is asked; the server sees its exception as ever."""

    async def app(scope: Scope, _: Receive, __: Send) -> None:
        assert scope["type"] == "http"

    health = make(app=app)
    with pytest.raises(AssertionError):
        await drive(health, {"type": "lifespan"})
    assert health.state is State.READY


async def test_alone_it_starts_and_ends() -> None:
    """Without an application around or inside there is nothing to wait for."""
    wire = Wire({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    await make()({"type": "lifespan"}, wire.receive, wire.send)
    assert [each["type"] for each in wire.sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_draining() -> None:
    """A server that drains says so to the balancer, goes on answering, and can come back."""
    health = make(app=answering(OK, part()))
    health.drain()
    assert await ask(health, "/readyz", headers=TEXT) == (503, "draining\n")
    assert (await ask(health, "/livez"))[0] == 200
    assert (await ask(health, "/work"))[0] == 200
    health.resume()
    assert await ask(health, "/readyz", headers=TEXT) == (200, "ready\n")


async def test_a_critical_check_heals() -> None:
    """A server comes back by itself when its own dependency does."""
    well = False
    health = make(HealthCheck("own", lambda: well, critical=True, ttl_seconds=0))
    assert health.state is State.NOT_READY
    assert (await ask(health, "/readyz"))[0] == 503
    well = True
    while (await ask(health, "/readyz"))[0] != 200:  # a check that had begun before may still be under way
        pass


async def test_results_are_renewed_without_being_asked() -> None:
    """Once asked, results go on being renewed, so that metrics do not grow old between questions."""
    calls: list[int] = []
    health = make(HealthCheck("x", lambda: calls.append(1), ttl_seconds=0.005))
    await ask(health, "/readyz")
    while len(calls) < 3:  # noqa: ASYNC110 -- called in a thread
        await asyncio.sleep(0.001)


async def test_metrics() -> None:
    """The results are metrics, of this server and of each check."""
    health = make(FINE, BROKEN)
    await ask(health, "/healthz")
    batches = health._health.collect()
    assert values(batches, metrics.STATE) == {("starting",): 0, ("ready",): 1, ("not_ready",): 0, ("draining",): 0}
    assert values(batches, metrics.SUCCESS) == {("fine",): 1, ("broken",): 0}
    assert values(batches, metrics.ERROR) == {("broken", "refused"): 1}
    assert values(batches, metrics.RUNS) == {("fine",): 1, ("broken",): 1}
    assert values(batches, metrics.FAILURES) == {("fine",): 0, ("broken",): 1}
    assert health._health in registry.known()
    health._health.forget()
    assert values(health._health.collect(), metrics.SUCCESS) == {}


async def test_what_has_ended_tells_nothing() -> None:
    """The results of a server that has ended do not stand before those of the next; asked again, it tells again."""
    health = make(FINE)
    await ask(health, "/healthz")
    assert registry.known().count(health._health) == 1
    await health._health.close()
    assert health._health not in registry.known()
    await ask(health, "/healthz")
    assert registry.known().count(health._health) == 1


def test_names_are_unique() -> None:
    """Two checks of one name would be one series."""
    with pytest.raises(InstrumentationError, match="fine is there twice"):
        make(FINE, FINE)


async def test_a_client_that_leaves() -> None:
    """Who leaves while a check runs takes nothing along."""
    entered = asyncio.Event()

    async def slow() -> None:
        entered.set()
        await asyncio.Event().wait()

    health = make(HealthCheck("slow", slow, timeout_seconds=30))
    asking = asyncio.create_task(drive(health, http_scope("/healthz"), DISCONNECT))
    await entered.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (await ask(health, "/livez"))[0] == 200


@pytest.fixture
def terminated() -> Iterator[list[int]]:
    """Signals that the server's own handler gets."""
    got: list[int] = []

    def handle(number: int, _: FrameType | None) -> None:
        got.append(number)

    before = signal.signal(signal.SIGTERM, handle)
    yield got
    signal.signal(signal.SIGTERM, before)


async def test_sigterm_waits_for_the_balancer(terminated: list[int]) -> None:
    """SIGTERM takes readiness back at once, and reaches the server when the time of grace is over; once."""
    health = health_app(grace_seconds=0.05)
    assert await ask(health, "/readyz", headers=TEXT) == (200, "ready\n")
    for _ in range(2):
        signal.raise_signal(signal.SIGTERM)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert terminated == []
    assert await ask(health, "/readyz", headers=TEXT) == (503, "draining\n")
    while not terminated:  # noqa: ASYNC110 -- a signal is no event
        await asyncio.sleep(0.001)
    signal.raise_signal(signal.SIGTERM)
    assert terminated == [signal.SIGTERM, signal.SIGTERM]


async def test_sigterm_does_not_wait_for_nobody(terminated: list[int]) -> None:
    """Where nobody asks for readiness, nobody needs the time."""
    health = health_app(grace_seconds=3600)
    await ask(health, "/healthz")
    signal.raise_signal(signal.SIGTERM)
    while not terminated:  # noqa: ASYNC110 -- a signal is no event
        await asyncio.sleep(0.001)
    assert health.state is State.DRAINING


async def test_grace_counts_from_draining(terminated: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who drained a server by hand before has given it its time already."""
    now = 1000.0
    monkeypatch.setattr(server, "monotonic", lambda: now)
    health = health_app(grace_seconds=30)
    await ask(health, "/readyz")
    health.drain()
    now += 30
    signal.raise_signal(signal.SIGTERM)
    while not terminated:  # noqa: ASYNC110 -- a signal is no event
        await asyncio.sleep(0.001)


async def test_the_handler_is_given_back(terminated: list[int]) -> None:
    """When the server ends otherwise, the signal belongs to the handler from before."""
    before = signal.getsignal(signal.SIGTERM)
    health = health_app(grace_seconds=3600)
    await ask(health, "/readyz")
    assert signal.getsignal(signal.SIGTERM) != before
    health._health.end()
    assert signal.getsignal(signal.SIGTERM) == before
    signal.raise_signal(signal.SIGTERM)
    assert terminated == [signal.SIGTERM]


async def test_a_loop_that_handles_signals_itself(caplog: pytest.LogCaptureFixture) -> None:
    """A handler of the event loop cannot be delayed, and that is said rather than pretended."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, lambda: None)
    assert not TerminationDelay(lambda: 0).install()
    loop.remove_signal_handler(signal.SIGTERM)
    assert "call drain()" in caplog.text


async def test_other_threads_have_no_signals() -> None:
    """In a thread other than the main one no handler can be set; the rest works."""

    def in_thread() -> bool:
        return TerminationDelay(lambda: 0).install()

    assert not await asyncio.to_thread(in_thread)
