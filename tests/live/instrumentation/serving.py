"""Serves ASGI applications with a real uvicorn: in a thread, or in a process that can be signalled."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import httpx
import uvicorn
from prometheus_client.parser import text_string_to_metric_families

from observability.instrumentation.asgi import ASGIApp
from observability.lab.ports import HOST
from observability.metrics import Metric

_DEADLINE_SECONDS = 20

Labels = dict[str, str]


class Served:
    """Somewhere a server listens."""

    def __init__(self, port: int, app: str = "") -> None:
        self.port = port
        self.app = app
        # Each request on a line of its own: uvicorn closes one on which an application has failed.
        alone = httpx.Limits(max_keepalive_connections=0)
        self.client = httpx.Client(base_url=f"http://{HOST}:{port}", timeout=_DEADLINE_SECONDS, limits=alone)

    def get(self, path: str, **options: str) -> tuple[int, str]:
        """The status and the body of an answer."""
        response = self.client.get(path, headers=options)
        return response.status_code, response.text

    def scrape(self, metric: Metric, of_histogram: str = "_count") -> list[tuple[Labels, float]]:
        """The samples of a metric on /metrics; of a histogram, its counts or sums."""
        _, text = self.get("/metrics/")
        wanted = metric.prometheus_name + (of_histogram if metric.kind == "histogram" else "")
        return [
            ({label: value for label, value in sample.labels.items() if value}, sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            # Applications of earlier tests may not have been collected yet.
            if sample.name == wanted and sample.labels.get("app", self.app) == self.app
        ]

    def value(self, metric: Metric, **labels: str) -> float:
        """The sum of the samples of a metric that have these labels; 0 if there are none."""
        return sum(value for found, value in self.scrape(metric) if labels.items() <= found.items())

    def leave_early(self, path: str, after: bytes = b"") -> None:
        """Ask, read until `after` has come, and go away without a word."""
        with socket.create_connection((HOST, self.port), timeout=_DEADLINE_SECONDS) as line:
            line.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            seen = b""
            while after not in seen:
                seen += line.recv(65536)

    def close(self) -> None:
        """Close the lines to the server."""
        self.client.close()


class ThreadServer(Served):
    """A uvicorn in a thread of this process."""

    def __init__(self, app: ASGIApp, loop: str, name: str = "") -> None:
        sock = socket.create_server((HOST, 0))
        super().__init__(sock.getsockname()[1], name)
        config = uvicorn.Config(app, loop=loop, log_config=None, access_log=False, timeout_graceful_shutdown=5)
        self._server = uvicorn.Server(config)
        self._socket = sock
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [sock]})

    def __enter__(self) -> Self:
        self._thread.start()
        until(lambda: self._server.started)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._server.should_exit = True
        self._thread.join(_DEADLINE_SECONDS)
        self._socket.close()
        assert not self._thread.is_alive()


class ProcessServer(Served):
    """A uvicorn in a process of its own."""

    def __init__(self, program: str, port: int, loop: str, *options: str, log: Path) -> None:
        super().__init__(port)
        command = [sys.executable, "-m", "uvicorn", program, "--host", HOST, "--port", str(port), "--loop", loop]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, "--no-access-log", *options], stdout=output, stderr=subprocess.STDOUT
            )

    def answers(self) -> bool:
        """Whether it serves."""
        with contextlib.suppress(httpx.TransportError):
            return self.client.get("/livez").status_code == 200
        return False

    def terminate(self) -> None:
        """Ask it to end."""
        self.process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        """The status with which it ends."""
        return self.process.wait(_DEADLINE_SECONDS)


@contextlib.contextmanager
def process_server(program: str, port: int, loop: str, *options: str, log: Path) -> Iterator[ProcessServer]:
    """A uvicorn in a process, from when it answers until nothing is left of it."""
    server = ProcessServer(program, port, loop, *options, log=log)
    try:
        until(server.answers)
        yield server
    finally:
        server.process.kill()
        server.process.wait()
        server.close()


def until(condition: object, deadline_seconds: float = _DEADLINE_SECONDS) -> None:
    """Wait until a condition holds."""
    assert callable(condition)
    end = time.monotonic() + deadline_seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)
