"""The exporter as a process of its own, as it runs in production."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from observability.lab.ports import HOST, free_port
from observability.lab.ready import await_true, serves
from tests.live.core.page import Page

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, kw_only=True)
class Exporter:
    """A running exporter; its output is in `log`."""

    port: int
    process: psutil.Process
    log: Path

    def get(self, path: str, timeout: float | None = None, **headers: str) -> httpx.Response:
        """An answer; with `timeout` the deadline that Prometheus would name."""
        if timeout is not None:
            headers["X-Prometheus-Scrape-Timeout-Seconds"] = str(timeout)
        with httpx.Client(base_url=f"http://{HOST}:{self.port}", timeout=30, trust_env=False, verify=False) as client:
            return client.get(path, headers=headers)

    def scrape(self, timeout: float = 5) -> Page:
        """One scrape, which is always answered and always within its deadline."""
        started = time.monotonic()
        answer = self.get("/metrics", timeout)
        assert time.monotonic() - started < timeout
        assert answer.status_code == httpx.codes.OK
        return Page.of(answer.text)


@contextmanager
def exporter(folder: Path, targets: list[dict[str, Any]], env: Mapping[str, str] = os.environ) -> Iterator[Exporter]:
    """An exporter of these targets, logging everything; it must end by itself when it is asked to."""
    config, log, port = folder / "exporter.yaml", folder / "exporter.log", free_port()
    config.write_text(yaml.safe_dump({"listen": f"{HOST}:{port}", "cluster": "demo", "targets": targets}))
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "observability", "exporter", "--config", str(config), "--log-level", "debug"],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], **{k: v for k, v in env.items() if k not in os.environ}},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        assert await_true(serves(port, "/-/ready"), timeout_seconds=20), log.read_text()
        yield Exporter(port=port, process=psutil.Process(child.pid), log=log)
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=15) in {0, -signal.SIGTERM}, log.read_text()
    finally:
        child.kill()
        child.wait()
