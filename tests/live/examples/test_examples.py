"""Each example does what it says it does, run as it says it is."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from observability.instrumentation.pool.metrics import CHECKOUTS
from observability.instrumentation.requests.metrics import DURATION
from observability.instrumentation.runtime.metrics import BUILD
from observability.lab.ports import HOST, free_port
from observability.metrics import Metric

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
REQUESTS = 12
_DEADLINE_SECONDS = 30.0


class Example:
    """A running example."""

    def __init__(self, port: int) -> None:
        self.url = f"http://{HOST}:{port}"

    def get(self, path: str) -> httpx.Response:
        """An answer, each over a line of its own, so that any worker may give it."""
        return httpx.get(self.url + path, timeout=10, follow_redirects=True)

    def total(self, metric: Metric, path: str = "/metrics", **labels: str) -> float:
        """The sum over the series of a metric that have these labels; of a histogram, how many it has counted."""
        wanted = metric.prometheus_name + ("_count" if metric.kind == "histogram" else "")
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.get(path).text)
            for sample in family.samples
            if sample.name == wanted and labels.items() <= sample.labels.items()
        )

    def answers(self, path: str) -> bool:
        """Whether it serves."""
        with contextlib.suppress(httpx.TransportError):
            return self.get(path).status_code == 200
        return False


@contextlib.contextmanager
def example(directory: Path, port: int, *command: str, ready: str) -> Iterator[Example]:
    """An example from when it answers until nothing is left of it."""
    environ = os.environ | {"PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": str(directory), "HOME": str(directory)}
    log = directory / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=directory, env=environ, stdout=output, stderr=output
        )
    try:
        running = Example(port)
        until(lambda: running.answers(ready), lambda: f"{process.poll()}: {log.read_text()}")
        yield running
    finally:
        family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        process.wait(_DEADLINE_SECONDS)
        for left in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                left.kill()


def until(condition: Callable[[], bool], why: Callable[[], str] = str) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + _DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end, why()
        time.sleep(0.05)


def use(running: Example) -> None:
    """Ask for users."""
    for number in range(REQUESTS):
        assert running.get(f"/users/{number}").json() == {"number": number}


def test_fastapi(tmp_path: Path) -> None:
    """Two workers: pool, requests by their templates, runtime and health of both on one page."""
    port = free_port()
    command = ("uvicorn", "--app-dir", str(EXAMPLES), "fastapi_app:app", "--workers", "2", "--port", str(port))
    with example(tmp_path, port, *command, ready="/readyz") as running:
        use(running)
        assert running.total(DURATION, http_route="/users/{number}", http_response_status_code="200") == REQUESTS
        # The checks of health take connections as well.
        assert running.total(CHECKOUTS, db_client_connection_pool_name="core") >= REQUESTS
        assert running.get("/healthz").status_code == 200
        assert running.total(BUILD) >= 1


def test_flask(tmp_path: Path) -> None:
    """Flask's own server: pool and runtime."""
    port = free_port()
    command = ("flask", "--app", str(EXAMPLES / "flask_app"), "run", "--port", str(port))
    with example(tmp_path, port, *command, ready="/metrics") as running:
        use(running)
        assert running.total(CHECKOUTS, db_client_connection_pool_name="core") == REQUESTS


def test_gunicorn(tmp_path: Path) -> None:
    """Four workers behind one port, found out without configuration."""
    port = free_port()
    command = ("gunicorn", "--config", str(EXAMPLES / "gunicorn.conf.py"), "--bind", f"{HOST}:{port}")
    with example(tmp_path, port, *command, ready="/metrics") as running:
        use(running)
        assert running.total(CHECKOUTS, db_client_connection_pool_name="core") == REQUESTS
        until(lambda: running.get("/metrics").text.count("ha_worker_up{") == 4)


def test_zero_code(tmp_path: Path) -> None:
    """A program that knows nothing, and a page that tells what it does."""
    port = free_port()
    command = (
        "observability",
        "run",
        "--listen",
        f"{HOST}:{port}",
        "--",
        sys.executable,
        str(EXAMPLES / "zero_code.py"),
    )
    with example(tmp_path, port, *command, ready="/metrics") as running:
        until(lambda: running.total(CHECKOUTS, db_client_connection_pool_name="sqlite/example.db") >= 3)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_fits_on_a_screen(path: Path) -> None:
    """Nobody reads more than forty lines to see how to begin."""
    assert len(path.read_text().splitlines()) <= 40
