"""The faults that can be injected into a lab, as a table; `Stack.heal` undoes them all."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import NamedTuple

from observability.errors import LabError
from observability.lab import applications
from observability.lab.stack import STORES, Stack


class Fault(NamedTuple):
    """A fault: what is done to the stack, and what that stands for."""

    name: str
    summary: str
    inject: Callable[[Stack], object]


def thaw(stack: Stack) -> None:
    """Let every frozen store go on."""
    for name in STORES:
        process = stack.site.registry.find(name)
        if process is not None:
            process.thaw()


def pause_replay(stack: Stack) -> None:
    """Let the standby receive and not apply."""
    stack.postgres.standby.sql("SELECT pg_wal_replay_pause()")


def promote_standby(stack: Stack) -> None:
    """Let the standby write beside the primary."""
    stack.postgres.standby.sql("SELECT pg_promote()")


FAULTS = (
    Fault("kill-primary", "PostgreSQL's primary dies at once, with all its processes (SIGKILL)",
          lambda stack: stack.postgres.primary.process.kill()),
    Fault("freeze-primary", "PostgreSQL's primary hangs: its port accepts, nothing answers (SIGSTOP)",
          lambda stack: stack.postgres.primary.process.freeze()),
    Fault("stop-standby", "PostgreSQL's standby is shut down in order",
          lambda stack: stack.postgres.standby.stop(signal.SIGINT)),
    Fault("promote-standby", "PostgreSQL's standby is promoted while the primary lives: two primaries", promote_standby),
    Fault("pause-replay", "PostgreSQL's standby receives but does not replay", pause_replay),
    Fault("cut-replication", "the line between PostgreSQL's primary and standby is cut; both live on",
          lambda stack: applications.set_line(stack.site, "cut")),
    Fault("stall-replication", "the line between PostgreSQL's primary and standby swallows everything and stays open",
          lambda stack: applications.set_line(stack.site, "stall")),
    Fault("kill-redis", "Redis' primary dies at once (SIGKILL)", lambda stack: stack.redis.primary.process.kill()),
    Fault("freeze-redis", "Redis' primary hangs (SIGSTOP)", lambda stack: stack.redis.primary.process.freeze()),
    Fault("exhaust-pool", "both servers leak every connection of their pools",
          lambda stack: applications.take_connections(stack.site)),
    Fault("kill-server", "one of the two servers dies (SIGKILL)",
          lambda stack: stack.site.registry.get("server-1").kill()),
    Fault("kill-exporter", "the exporter dies (SIGKILL): nobody watches any more",
          lambda stack: stack.site.registry.get("exporter").kill()),
    Fault("thaw", "whatever is frozen goes on", thaw),
)  # fmt: skip


def find_fault(name: str) -> Fault:
    """
    The fault of a name.

    Raises:
        LabError: when there is none, with those that there are.

    """
    for fault in FAULTS:
        if fault.name == name:
            return fault
    raise LabError(f"there is no fault {name!r}; there are: {', '.join(fault.name for fault in FAULTS)}")
