"""
All reads for a decision, once, into one frozen value.

Each look is made over connections of its own: a kept session goes on answering on a server whose postmaster hangs. A
frozen server costs one timeout, and only its own: all are read side by side.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from observability.connect import Target, open_connection
from observability.errors import Reason
from observability.failover.model import Look, NodeView, Rules, Sight
from observability.failover.postgres import QUESTION, read
from observability.probes.probe import Connection, Failure

Clock: TypeAlias = Callable[[], float]
"""Seconds since the epoch."""

OpenConnection: TypeAlias = Callable[[Target, float], Awaitable[Connection | Failure]]

GRACE_SECONDS = 0.1
"""Drivers keep their own deadline; the second fence around them comes this much later."""


async def take_looks(
    targets: Sequence[Target],
    rules: Rules,
    *,
    clock: Clock = time.time,
    connect: OpenConnection = open_connection,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> tuple[Look, ...]:
    """As many looks at `targets` as the rules ask for, or fewer once a primary is seen: then no other can matter."""
    looks: list[Look] = []
    while len(looks) < rules.confirm_looks:
        if looks:
            await pause(rules.confirm_interval_seconds)
        looks.append(await look(targets, rules.look_timeout_seconds, clock=clock, connect=connect))
        if any(view.sight is Sight.PRIMARY for view in looks[-1].views):
            break
    return tuple(looks)


async def look(
    targets: Sequence[Target], timeout: float, *, clock: Clock = time.time, connect: OpenConnection = open_connection
) -> Look:
    """All targets side by side, each over a new connection, within `timeout` seconds."""
    at = clock()
    views = await asyncio.gather(*(view(target, timeout, clock=clock, connect=connect) for target in targets))
    return Look(at=at, views=tuple(views))


async def view(
    target: Target, timeout: float, *, clock: Clock = time.time, connect: OpenConnection = open_connection
) -> NodeView:
    """One target over a new connection, within `timeout` seconds."""
    at, started = clock(), time.monotonic()
    connection: Connection | Failure | None = None
    try:
        async with asyncio.timeout(timeout + GRACE_SECONDS):
            connection = await connect(target, timeout)
            if isinstance(connection, Failure):
                return read(target.name, at, time.monotonic() - started, connection)
            left = timeout - (time.monotonic() - started)
            (outcome,) = await connection.ask([QUESTION], left)
    except TimeoutError:
        outcome = Failure(Reason.HUNG, f"no answer within {timeout:g} s")
    finally:
        if connection is not None and not isinstance(connection, Failure):
            connection.abort()
    return read(target.name, at, time.monotonic() - started, outcome)
