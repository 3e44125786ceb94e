"""Waits for what was started, and says why when it does not come."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import httpx

from observability.errors import LabError
from observability.lab.ports import HOST
from observability.lab.process import Process

_POLL_SECONDS = 0.05


def await_ready(
    process: Process, check: Callable[[], bool], *, port: int | None = None, timeout_seconds: float
) -> None:
    """
    Wait until `check` is true, and true of this process: it must listen on `port` itself.

    Raises:
        LabError: when the process ends first or is not ready in time, with the tail of its log.

    """
    deadline = time.monotonic() + timeout_seconds
    while not (check() and (port is None or process.listens_on(port))):
        tail = f"The end of {process.log}:\n{process.log_tail()}"
        if not process.alive:
            raise LabError(f"{process.name} ended while it was starting. {tail}")
        if time.monotonic() > deadline:
            raise LabError(f"{process.name} is not ready after {timeout_seconds:g} s. {tail}")
        time.sleep(_POLL_SECONDS)


def await_true(check: Callable[[], bool], *, timeout_seconds: float) -> bool:
    """Wait until `check` is true; False when it is not in time."""
    deadline = time.monotonic() + timeout_seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def http_client(port: int) -> httpx.Client:
    """A client for a server on loopback: no proxy of the environment comes between, no certificates are loaded."""
    return httpx.Client(base_url=f"http://{HOST}:{port}", timeout=5, trust_env=False, verify=False)  # noqa: S501


def serves(port: int, path: str) -> Callable[[], bool]:
    """A check that a server answers 200 on a path."""

    def check() -> bool:
        try:
            with http_client(port) as client:
                return client.get(path, timeout=2).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    return check


def listens(port: int) -> Callable[[], bool]:
    """A check that something accepts connections on a port."""

    def check() -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex((HOST, port)) == 0

    return check
