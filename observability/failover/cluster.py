"""
One cluster: the watch kept on it, and the decisions about its incidents, one at a time.

In observe mode, the furthest there is, a decision is written down and nothing else happens.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from observability.connect import Target, open_connection
from observability.failover import signals, words
from observability.failover.journal import Incident, Journal
from observability.failover.model import Alert, Hold, LastPrimary, Look, Mode, Observation, Plan, Promote, Rules
from observability.failover.observe import Clock, OpenConnection, take_looks
from observability.failover.policy import ABOUT_THE_ALERT, plan
from observability.failover.signals import Signals
from observability.failover.watch import Watch
from observability.metrics import Batch

logger = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What all clusters of a controller share; clock and connect are passed in so that tests can be in charge of them."""

    journal: Journal
    rules: Rules
    signals: Signals
    configured: frozenset[str]
    mode: Mode = Mode.OBSERVE
    clock: Clock = time.time
    connect: OpenConnection = open_connection


class Cluster:
    """The keeper of one cluster; one without targets holds every alert, as nothing is known of it."""

    def __init__(self, name: str, targets: Sequence[Target], context: Context) -> None:
        self.name = name
        self.woken = asyncio.Event()
        self._targets = targets
        self._context = context
        self._watch = Watch(targets, clock=context.clock, connect=context.connect)
        self._open: int | None = None

    async def run(self, last_primary: LastPrimary | None) -> None:
        """Watch and decide until cancelled, beginning with what an earlier run knew and left unfinished."""
        self._watch.last_primary = last_primary
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._decide())
                if self._targets:
                    tasks.create_task(self._look_on())
                    tasks.create_task(self._remember())
        finally:
            self._watch.close()

    def batch(self) -> Batch:
        """What is known of the cluster now."""
        last = self._watch.last_primary
        samples = signals.PRIMARY_SEEN.known(last.seen_at if last else None) + signals.INCIDENTS.known(self._open)
        return Batch((("cluster", self.name),), samples)

    async def _look_on(self) -> None:
        async def once() -> None:
            await self._watch.look(self._context.rules.look_timeout_seconds)

        while True:
            await self._guarded("watch", once)
            await asyncio.sleep(self._context.rules.watch_interval_seconds)

    async def _remember(self) -> None:
        """Beside the watch, not in it: a slow journal must not make it miss what the primary writes."""
        kept: LastPrimary | None = None

        async def once() -> None:
            nonlocal kept
            last = self._watch.last_primary
            if last is not None and last is not kept:
                await self._context.journal.remember(self.name, last)
                kept = last

        while True:
            await self._guarded("remember", once)
            await asyncio.sleep(self._context.rules.watch_interval_seconds)

    async def _decide(self) -> None:
        """Look again while an incident is open: soon at first, as what holds may pass, then less often."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            self.woken.clear()
            unfinished = await self._guarded("decide", self._round)
            try:
                await asyncio.wait_for(self.woken.wait(), None if unfinished is False else pause)
                pause = _FIRST_PAUSE_SECONDS
            except TimeoutError:
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _guarded(self, loop: str, once: Callable[[], Awaitable[bool | None]]) -> bool | None:
        try:
            return await once()
        except Exception as error:
            # The border of the controller's loop: a full disk or a bug must not end it, or nobody would look any more.
            self._context.signals.count(signals.ERRORS, loop, cluster=self.name)
            logger.exception("%s %r: %s", loop, self.name, type(error).__name__)
            return None

    async def _round(self) -> bool:
        """Decide about each open incident from one observation; True while one is left open."""
        incidents = [each for each in await self._context.journal.unfinished() if self._is_mine(each.alert)]
        self._open = len(incidents)
        if self._context.mode is Mode.OFF:
            return False
        looks: tuple[Look, ...] = ()
        for incident in incidents:
            seen = self._unlooked(incident.alert)
            decision = plan(seen, self._context.rules)
            if not _about_the_alert(decision):
                looks = looks or await self._looks()
                seen = replace(seen, at=self._context.clock(), looks=looks, last_primary=self._watch.last_primary)
                decision = plan(seen, self._context.rules)
            await self._conclude(incident, seen, decision)
        return self._open > 0

    async def _conclude(self, incident: Incident, seen: Observation, decision: Plan) -> None:
        """Write the decision down unless it is the last one again, and close what no look can change."""
        journal, at = self._context.journal, self._context.clock()
        if _gist(decision) != _gist(incident.decision):
            await journal.decide(incident.id, seen, decision, at=at)
            self._context.signals.decided(self.name, decision)
            about = f"incident {incident.id}, {incident.alert.name!r} of {incident.alert.cluster!r}"
            logger.warning("%s: %s", about, words.decision(decision))
        if _about_the_alert(decision):
            await journal.end(incident.id, at=at)
            self._context.signals.count(signals.ENTRIES, "closed")
            self._open = (self._open or 1) - 1

    async def _looks(self) -> tuple[Look, ...]:
        context, started = self._context, time.monotonic()
        looks = await take_looks(self._targets, context.rules, clock=context.clock, connect=context.connect)
        context.signals.observed(self.name, time.monotonic() - started)
        return looks

    def _is_mine(self, alert: Alert) -> bool:
        return alert.cluster == self.name if self._targets else alert.cluster not in self._context.configured

    def _unlooked(self, alert: Alert) -> Observation:
        nodes = tuple(target.name for target in self._targets)
        return Observation(cluster=alert.cluster, at=self._context.clock(), alert=alert, nodes=nodes)


def _about_the_alert(decision: Plan) -> bool:
    return isinstance(decision, Hold) and decision.reason in ABOUT_THE_ALERT


def _gist(decision: Plan | None) -> tuple[str, str] | None:
    """What makes a decision another one: figures that merely grow do not."""
    if decision is None:
        return None
    return (decision.outcome, decision.candidate if isinstance(decision, Promote) else decision.reason)
