"""Free ports on loopback."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable

from observability.errors import LabError

HOST = "127.0.0.1"
"""Everything in the lab listens here and nowhere else."""

# Below the range from which the kernel gives ports to outgoing connections: one of those could otherwise take a port
# between our choice and the server's bind.
_RANGE = range(20000, 30000)
_ATTEMPTS = 2000


def free_ports(names: Iterable[str]) -> dict[str, int]:
    """A different free port for each name, chosen at random so that labs side by side do not meet."""
    ports: dict[str, int] = {}
    for name in names:
        ports[name] = _free(set(ports.values()))
    return ports


def free_port() -> int:
    """One free port."""
    return _free(set())


def _free(taken: set[int]) -> int:
    for _ in range(_ATTEMPTS):
        port = random.choice(_RANGE)  # noqa: S311  # not a secret
        if port in taken:
            continue
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        return port
    raise LabError(f"no free port between {_RANGE.start} and {_RANGE.stop} on {HOST}")
