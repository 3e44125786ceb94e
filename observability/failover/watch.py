"""
The memory of a cluster: where its primary was, and how far, while it still answered.

After the primary is lost nobody can ask it any more, so its position is read all the time, over kept connections. That
it answers here proves that it lives; that it does not proves nothing yet.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

from observability.connect import Target, open_connection
from observability.errors import Reason
from observability.failover.model import LastPrimary, NodeView, Sight
from observability.failover.observe import GRACE_SECONDS, Clock, OpenConnection
from observability.failover.postgres import QUESTION, read
from observability.probes.probe import Answer, Connection, Failure


class Watch:
    """Looks at the servers of one cluster again and again; `last_primary` is what it knows."""

    def __init__(
        self,
        targets: Sequence[Target],
        last_primary: LastPrimary | None = None,
        *,
        clock: Clock = time.time,
        connect: OpenConnection = open_connection,
    ) -> None:
        self.last_primary = last_primary
        self._targets = targets
        self._clock = clock
        self._connect = connect
        self._connections: dict[str, Connection] = {}

    async def look(self, timeout: float) -> tuple[NodeView, ...]:
        """One look at all servers, each within `timeout` seconds; what it says of the primary is remembered."""
        views = tuple(await asyncio.gather(*(self._view(target, timeout) for target in self._targets)))
        self.last_primary = remembered(self.last_primary, views, now=self._clock())
        return views

    def close(self) -> None:
        """Drop all connections."""
        for connection in self._connections.values():
            connection.abort()
        self._connections.clear()

    async def _view(self, target: Target, timeout: float) -> NodeView:
        at, started = self._clock(), time.monotonic()
        try:
            async with asyncio.timeout(timeout + GRACE_SECONDS):
                outcome = await self._ask(target, timeout)
        except TimeoutError:
            outcome = Failure(Reason.HUNG, f"no answer within {timeout:g} s")
        return read(target.name, at, time.monotonic() - started, outcome)

    async def _ask(self, target: Target, timeout: float) -> Answer | Failure:
        deadline = time.monotonic() + timeout
        connection = self._connections.pop(target.name, None)
        if connection is None:
            made = await self._connect(target, timeout)
            if isinstance(made, Failure):
                return made
            connection = made
        usable = False
        try:
            (outcome,) = await connection.ask([QUESTION], deadline - time.monotonic())
            usable = connection.usable
        finally:
            # Also when the watch itself is ended in the middle of a question.
            if usable:
                self._connections[target.name] = connection
            else:
                connection.abort()
        return outcome


def remembered(before: LastPrimary | None, views: Sequence[NodeView], *, now: float) -> LastPrimary | None:
    """What is known of the primary after a look: pure, so that all that can happen is tested."""
    missed = replace(before, missed_at=now) if before and before.missed_at is None else before
    primaries = [view for view in views if view.sight is Sight.PRIMARY]
    if not primaries:
        return missed
    (view, *others) = primaries
    position = _position(view)
    # Two at once: nobody knows whose position counts, so the memory grows old until one is gone.
    if others or position is None:
        return before
    if before is None:
        return position
    same_system = before.system_identifier == position.system_identifier
    # An old primary that wakes up after another has taken over is not the one to measure standbys by.
    if same_system and position.timeline < before.timeline:
        return missed
    same = same_system and (before.node, before.timeline) == (position.node, position.timeline)
    return replace(position, changed_at=before.changed_at if same else view.at)


def _position(view: NodeView) -> LastPrimary | None:
    if view.system_identifier is None or view.timeline is None or view.current_lsn is None:
        return None
    return LastPrimary(
        node=view.node,
        system_identifier=view.system_identifier,
        timeline=view.timeline,
        lsn=view.current_lsn,
        seen_at=view.at,
        synchronous=view.synchronous,
    )
