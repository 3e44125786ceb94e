"""This process's metrics over HTTP, in whatever server there is."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from sqlalchemy import Engine, create_engine
from starlette.applications import Starlette
from starlette.routing import Mount

from observability import holders_app, instrument, metrics_app, register, wsgi_metrics_app
from observability.instrumentation.pool.monitor import PoolMonitor

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@pytest.fixture
def engine() -> Iterator[Engine]:
    """An engine."""
    engine = create_engine("sqlite://")
    yield engine
    engine.dispose()


@pytest.fixture
def monitor(engine: Engine) -> Iterator[PoolMonitor]:
    """What tells about it."""
    monitor = instrument(engine, pool_name="exposed")
    yield monitor
    monitor.uninstrument()


def client(app: Any) -> httpx.AsyncClient:
    """A client of an ASGI application."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server")


@pytest.mark.usefixtures("monitor")
class TestASGI:
    """`metrics_app`."""

    @pytest.mark.parametrize("path", ["/metrics", "/metrics/", "/", ""])
    async def test_alone(self, path: str) -> None:
        """Without any framework it answers at /metrics."""
        async with client(metrics_app()) as http:
            answer = await http.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        names = {family.name for family in parse_text(answer.text)}
        assert {"db_client_connection_count", "db_client_connection_wait_time_seconds", "ha_pool_connects"} <= names
        assert 'db_client_connection_pool_name="exposed"' in answer.text

    @pytest.mark.parametrize("mount", ["/metrics", "/internal/stats"])
    async def test_mounted(self, mount: str) -> None:
        """In Starlette and FastAPI it answers under the path where it is mounted."""
        async with client(Starlette(routes=[Mount(mount, metrics_app())])) as http:
            found = await http.get(f"{mount}/")
            missing = await http.get(f"{mount}/other")
        assert (found.status_code, missing.status_code) == (200, 404)
        assert 'db_client_connection_pool_name="exposed"' in found.text

    async def test_openmetrics(self) -> None:
        """Prometheus asks for OpenMetrics, and gets it."""
        async with client(metrics_app()) as http:
            answer = await http.get("/metrics", headers={"accept": OPENMETRICS})
        assert answer.headers["content-type"] == OPENMETRICS
        assert any(family.name == "db_client_connection_timeouts" for family in parse_openmetrics(answer.text))  # type: ignore[no-untyped-call]

    async def test_gzip(self) -> None:
        """It is compressed for who takes it, and not for who does not."""
        async with client(metrics_app()) as http:
            plain = await http.get("/metrics", headers={"accept-encoding": "identity"})
            refused = await http.get("/metrics", headers={"accept-encoding": "gzip;q=0"})
            packed = await http.get("/metrics", headers={"accept-encoding": "gzip"})
        assert packed.headers["content-encoding"] == "gzip"
        assert "content-encoding" not in plain.headers
        assert "content-encoding" not in refused.headers
        assert int(packed.headers["content-length"]) < len(plain.content) / 4

    async def test_head_and_others(self) -> None:
        """HEAD has no body; nothing can be written here."""
        async with client(metrics_app()) as http:
            head, post = await http.head("/metrics"), await http.post("/metrics")
        assert (head.status_code, head.content) == (200, b"")
        assert (post.status_code, post.headers["allow"]) == (405, "GET, HEAD")

    async def test_lifespan_and_websocket(self) -> None:
        """A server that starts it alone is answered, and a websocket is closed."""
        sent: list[dict[str, Any]] = []
        messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

        async def receive() -> dict[str, Any]:
            return next(messages)

        async def send(message: Any) -> None:
            sent.append(message)

        await metrics_app()({"type": "lifespan"}, receive, send)
        await metrics_app()({"type": "websocket"}, receive, send)
        assert [each["type"] for each in sent] == [
            "lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close",
        ]  # fmt: skip

    async def test_only_the_given_sources(self, monitor: PoolMonitor) -> None:
        """With sources it serves these and nothing else."""
        async with client(metrics_app([])) as http:
            assert (await http.get("/metrics")).text == ""
        async with client(metrics_app([monitor.collect])) as http:
            assert 'db_client_connection_pool_name="exposed"' in (await http.get("/metrics")).text

    async def test_finds_what_comes_later(self) -> None:
        """An engine that is instrumented after the application was made is served; one that is let go of is not."""
        app = metrics_app()
        engine = create_engine("sqlite://")  # held: an engine that nobody holds is told of no longer
        later = instrument(engine, pool_name="later")
        async with client(app) as http:
            assert 'pool_name="later"' in (await http.get("/metrics")).text
            later.uninstrument()
            assert 'pool_name="later"' not in (await http.get("/metrics")).text


@pytest.mark.usefixtures("monitor")
class TestWSGI:
    """`wsgi_metrics_app`."""

    @staticmethod
    def ask(**environ: str) -> tuple[str, dict[str, str], bytes]:
        """Ask it as a server does that checks the protocol."""
        told: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], *_: Any) -> Any:
            told.extend((status, headers))

        full: dict[str, Any] = {"SCRIPT_NAME": "", "PATH_INFO": "/metrics", "QUERY_STRING": "", **environ}
        setup_testing_defaults(full)
        answer = validator(wsgi_metrics_app())(full, start)
        body = b"".join(answer)
        answer.close()  # type: ignore[attr-defined]
        return told[0], dict(told[1]), body

    def test_answers(self) -> None:
        """It tells the same as the ASGI application."""
        status, headers, body = self.ask()
        assert (status, headers["content-type"]) == ("200 OK", "text/plain; version=0.0.4; charset=utf-8")
        assert b'db_client_connection_pool_name="exposed"' in body

    def test_negotiates(self) -> None:
        """OpenMetrics, compressed."""
        _, headers, body = self.ask(HTTP_ACCEPT=OPENMETRICS, HTTP_ACCEPT_ENCODING="gzip")
        assert headers["content-type"] == OPENMETRICS
        assert gzip.decompress(body).endswith(b"# EOF\n")

    def test_refuses(self) -> None:
        """Other paths and methods."""
        assert self.ask(PATH_INFO="/other")[0] == "404 Not Found"
        assert self.ask(REQUEST_METHOD="DELETE")[0] == "405 Method Not Allowed"


def test_existing_registry(monitor: PoolMonitor) -> None:
    """A program with a prometheus_client registry adds our metrics to it, and takes them out again."""
    mine = CollectorRegistry()
    collector = register(mine, [monitor.collect])
    labels = {"db_client_connection_pool_name": "exposed", "db_client_connection_state": "idle"}
    assert mine.get_sample_value("db_client_connection_count", labels) == 0
    assert b"ha_pool_connects_total" in generate_latest(mine)
    mine.unregister(collector)
    assert generate_latest(mine) == b""


class TestHolders:
    """`holders_app`."""

    async def test_tells_who_holds_connections(self, engine: Engine) -> None:
        """A line for each place, and how long."""
        monitor = instrument(engine, debug=True)
        with engine.connect():
            async with client(holders_app()) as http:
                text = (await http.get("/")).text
            line = next(each for each in text.splitlines() if each.startswith(f"{monitor.pool_name}: "))
            assert f": 1 for up to 0.0 s from {__file__}:" in line
            assert " in test_tells_who_holds_connections" in line
        monitor.uninstrument()

    async def test_is_not_part_of_the_metrics(self, engine: Engine) -> None:
        """The application's code is told nowhere else."""
        monitor = instrument(engine, debug=True)
        with engine.connect():
            async with client(metrics_app([monitor.collect])) as http:
                assert __file__ not in (await http.get("/metrics")).text
        monitor.uninstrument()


def test_imports_no_framework() -> None:
    """Serving metrics brings no web framework, no settings and no driver into the process."""
    program = (
        "import sys, observability; observability.metrics_app(); observability.instrument;"
        "print(sorted({'starlette', 'fastapi', 'uvicorn', 'pydantic', 'typer', 'yaml', 'httpx', 'asyncpg', 'psycopg',"
        " 'redis', 'opentelemetry'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
