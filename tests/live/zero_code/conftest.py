"""Programs that know nothing of instrumentation, run by `ha-observability run` and without it."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from observability.lab.ports import HOST, free_port

ROOT = Path(__file__).parents[3]
_DEADLINE_SECONDS = 20.0


class Runner:
    """Runs programs in a directory, with their metrics on one port."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.environ = os.environ | {"PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": str(directory / "memory")}
        (directory / "memory").mkdir()
        self._started: list[subprocess.Popen[str]] = []

    def program(self, text: str, name: str = "program.py") -> list[str]:
        """The command of a Python program."""
        (self.directory / name).write_text(textwrap.dedent(text))
        return [sys.executable, name]

    def start(self, command: list[str], *, plain: bool = False, listen: str | None = None) -> subprocess.Popen[str]:
        """Start a program under `run`, or `plain`."""
        listen = listen or f"{HOST}:{self.port}"
        prefix = [] if plain else [sys.executable, "-m", "observability", "run", "--listen", listen, "--"]
        self._started.append(
            subprocess.Popen(
                [*prefix, *command],
                cwd=self.directory,
                env=self.environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return self._started[-1]

    def run(self, command: list[str], *, plain: bool = False, listen: str | None = None) -> tuple[int, str, str]:
        """Exit code, output and errors of a program."""
        process = self.start(command, plain=plain, listen=listen)
        output, errors = process.communicate(timeout=_DEADLINE_SECONDS)
        return process.returncode, output, errors

    def scrape(self) -> dict[str, float]:
        """What is told of the program: values by series."""
        line = http.client.HTTPConnection(HOST, self.port, timeout=10)
        with contextlib.closing(line):
            line.request("GET", "/metrics")
            text = line.getresponse().read().decode()
        rows = [row.rpartition(" ") for row in text.splitlines() if row and not row.startswith("#")]
        return {series: float(value) for series, _, value in rows}

    def left(self) -> list[Path]:
        """What is left of the programs' files."""
        return list((self.directory / "memory").glob("ha-observability-run-*"))

    def close(self) -> None:
        """End what has not ended, workers included."""
        for process in self._started:
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
            process.kill()
            process.communicate(timeout=_DEADLINE_SECONDS)
        until(lambda: not self.left())


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    """Runs programs; nothing of them is left."""
    made = Runner(tmp_path)
    yield made
    made.close()


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + _DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)
