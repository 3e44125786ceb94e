"""A real server that is told to end first says so to the balancer, and loses nothing."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from observability.instrumentation.health import metrics
from observability.lab.haproxy import settings
from observability.lab.ports import HOST, free_port
from observability.lab.program import HAPROXY
from observability.lab.registry import Registry
from tests.live.instrumentation.serving import ProcessServer, Served, process_server, until

APP = "tests.live.instrumentation.served:app"
PATIENT = "tests.live.instrumentation.served:patient"
ABRUPT = "tests.live.instrumentation.served:abrupt"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_readiness_first(loop: str, tmp_path: Path) -> None:
    """After SIGTERM the server says that it is draining, goes on for its time of grace, ends, and ends what it began."""
    with process_server(APP, free_port(), loop, log=tmp_path / "log") as server, ThreadPoolExecutor(1) as clients:
        assert server.get("/readyz")[0] == 200
        long = clients.submit(server.get, "/long")
        until(lambda: "/long" in server.get("/metrics/")[1])
        server.terminate()
        until(lambda: server.get("/readyz") == (503, '{"status": "draining"}\n'))
        assert server.get("/livez")[0] == 200
        assert server.get("/work") == (200, "done")
        assert server.value(metrics.STATE, state="draining") == 1
        assert long.result() == (200, "done")
        # uvicorn gives the signal on when it has ended well.
        assert server.ended() == -signal.SIGTERM
    assert "Finished server process" in (tmp_path / "log").read_text()


def test_nobody_is_watching(tmp_path: Path) -> None:
    """A server whose readiness nobody asks for ends as it would without us, whatever its time of grace."""
    with process_server(PATIENT, free_port(), "asyncio", log=tmp_path / "log") as server:
        server.terminate()
        assert server.ended() == -signal.SIGTERM


def test_workers(tmp_path: Path) -> None:
    """Several workers behind one port drain together: their supervisor tells each."""
    with process_server(APP, free_port(), "asyncio", "--workers", "2", log=tmp_path / "log") as server:
        for _ in range(20):  # so that each worker knows that somebody watches
            assert server.get("/readyz")[0] == 200
        server.terminate()
        until(lambda: server.get("/readyz")[0] == 503)
        assert {server.get("/work") for _ in range(5)} == {(200, "done")}
        assert server.ended() == 0


@contextmanager
def behind_haproxy(servers: dict[str, ProcessServer], registry: Registry, directory: Path) -> Iterator[Served]:
    """The balancer before these servers, with the settings of the lab, but without its second attempts: they hide errors."""
    haproxy = HAPROXY.find()
    if haproxy is None:
        pytest.fail("haproxy is not installed: sudo apt-get install -y haproxy")
    port = free_port()
    file = directory / "haproxy.cfg"
    ports = {name: server.port for name, server in servers.items()}
    text = settings(directory, port=port, servers=ports, metrics_port=None)
    file.write_text(text.replace("    option redispatch\n", "").replace("retries 1", "retries 0"))
    process = registry.start("drain-haproxy", [haproxy, "-db", "-f", file])
    balancer = Served(port)
    try:
        until(lambda: answers(balancer))
        yield balancer
    finally:
        process.kill()
        balancer.close()


def answers(balancer: Served) -> bool:
    """Whether the balancer has found a server."""
    try:
        return balancer.get("/work")[0] == 200
    except httpx.TransportError:
        return False


def rolling_restart(program: str, registry: Registry, directory: Path) -> Counter[int]:
    """What clients of a balancer see while one of two servers is ended under load."""
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(process_server(program, free_port(), "uvloop", log=directory / name))
            for name in ("one", "other")
        }
        balancer = stack.enter_context(behind_haproxy(servers, registry, directory))
        seen: Counter[int] = Counter()
        over = threading.Event()

        def client() -> None:
            with httpx.Client(base_url=f"http://{HOST}:{balancer.port}", timeout=10) as line:
                while not over.is_set():
                    seen[line.get("/work").status_code] += 1

        clients = [threading.Thread(target=client) for _ in range(4)]
        for each in clients:
            each.start()
        until(lambda: seen[200] > 20)
        servers["one"].terminate()
        servers["one"].ended()
        before = seen[200]
        until(lambda: seen[200] > before + 20)
        over.set()
        for each in clients:
            each.join()
        return seen


def test_no_request_is_lost(lab_registry: Registry, tmp_path: Path) -> None:
    """Behind a real balancer and under load, a server ends and no client sees an error."""
    seen = rolling_restart(APP, lab_registry, tmp_path)
    assert set(seen) == {200}


def test_what_would_be_lost(lab_registry: Registry, tmp_path: Path) -> None:
    """The same without a time of grace: clients see errors until the balancer has noticed."""
    seen = rolling_restart(ABRUPT, lab_registry, tmp_path)
    assert seen[503] > 0
