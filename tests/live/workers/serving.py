"""Starts servers with several workers, puts load on them, and reads their one page of metrics."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import psutil
from prometheus_client.parser import text_string_to_metric_families

from observability.lab.ports import HOST, free_port
from observability.metrics import Metric

_DEADLINE_SECONDS = 30.0
POOL_SIZE, OVERFLOW = 3, 2
ROOT = Path(__file__).parents[3]

Page = dict[str, dict[tuple[str, ...], float]]


class Server:
    """A server with several workers behind one port."""

    def __init__(self, command: list[str], port: int, directory: Path, **environment: str) -> None:
        self.port = port
        self.unwritten = 0
        """How many requests were counted and not written down, as their worker was killed in between."""
        self.directory = directory
        self._truth = directory / "truth"
        self._log = directory / "log"
        environ = os.environ | {"TRUTH": str(self._truth), "XDG_RUNTIME_DIR": str(directory), "PYTHONPATH": str(ROOT)}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environ | environment)

    @property
    def log(self) -> str:
        """What it has said."""
        return self._log.read_text()

    @property
    def requests(self) -> int:
        """How many requests were worked on, by the account that outlives every worker."""
        return self._truth.stat().st_size if self._truth.exists() else 0

    def get(self, path: str = "/") -> str:
        """An answer, each over a line of its own, so that any worker may give it."""
        line = http.client.HTTPConnection(HOST, self.port, timeout=10)
        with contextlib.closing(line):
            line.request("GET", path)
            answer = line.getresponse()
            body = answer.read().decode()
            assert answer.status == 200, body
            return body

    def answers(self) -> bool:
        """Whether it serves."""
        assert self.process.poll() is None, self.log
        with contextlib.suppress(OSError, http.client.HTTPException):
            return "ha_worker_up" in self.get("/metrics")
        return False

    def page(self) -> Page:
        """A scrape: values by name and by the values of their labels."""
        found: Page = {}
        for family in text_string_to_metric_families(self.get("/metrics")):
            for sample in family.samples:
                labels = tuple(value for _, value in sorted(sample.labels.items()))
                found.setdefault(sample.name, {})[labels] = sample.value
        return found

    def value(self, metric: Metric, *labels: str) -> float:
        """One value of a scrape."""
        return self.page()[metric.prometheus_name][labels]

    def workers(self) -> list[int]:
        """The pids of the workers: those of its children that meet the others."""
        return [child.pid for child in psutil.Process(self.process.pid).children() if _meets(child)]

    def stop(self) -> None:
        """End it, and whatever of it does not."""
        family = psutil.Process(self.process.pid).children(recursive=True) if self.process.poll() is None else []
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        for process in [*family, psutil.Process(self.process.pid)] if self.process.poll() is None else family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(10)


class Load:
    """Requests from several threads until it is ended; one that a killed worker was answering fails, and is no matter."""

    def __init__(self, server: Server, threads: int = 4) -> None:
        self.answered: Counter[str] = Counter()
        self._server = server
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        while not self._ended.is_set():
            try:
                self.answered[self._server.get()] += 1
            except (OSError, http.client.HTTPException):
                time.sleep(0.01)


def uvicorn(directory: Path, workers: int, *options: str) -> Server:
    """Uvicorn with several workers."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "tests.live.workers.programs:asgi", "--port", str(port)]
    return Server([*command, "--workers", str(workers), "--no-access-log", *options], port, directory)


def gunicorn(directory: Path, workers: int, *options: str, **environment: str) -> Server:
    """Gunicorn with several workers."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "tests.live.workers.programs:wsgi", "--bind", f"{HOST}:{port}"]
    # Its socket for commands would lie in the home directory.
    return Server([*command, "--workers", str(workers), *options], port, directory, HOME=str(directory), **environment)


@contextlib.contextmanager
def serving(server: Server, workers: int) -> Iterator[Server]:
    """A server from when all its workers answer until nothing is left of it."""
    try:
        until(server.answers)
        until(lambda: len(server.page()["ha_worker_up"]) == workers)
        yield server
    finally:
        server.stop()


def until(condition: Callable[[], bool], deadline_seconds: float = _DEADLINE_SECONDS) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + deadline_seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def _meets(process: psutil.Process) -> bool:
    """Whether a process has a seat: it holds a lock on one."""
    with contextlib.suppress(psutil.Error):
        return any(file.path.endswith(".lock") for file in process.open_files())
    return False
