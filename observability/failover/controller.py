"""The controller: takes webhooks, writes them down, and lets each cluster's keeper decide about its incidents."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Iterable

from observability.connect import Target, open_connection
from observability.failover import signals
from observability.failover.cluster import Cluster, Context
from observability.failover.journal import Journal, Recorded
from observability.failover.model import Mode, Rules
from observability.failover.observe import Clock, OpenConnection
from observability.failover.signals import Signals
from observability.failover.webhook import Webhook
from observability.metrics import Batch

logger = logging.getLogger(__name__)


class Controller:
    """
    One controller over the PostgreSQL servers among `targets`.

    For each cluster there is one task that decides, so no two decisions about it overlap; alerts of clusters that are
    not configured have one more, which holds them all.
    """

    def __init__(  # noqa: PLR0913 -- keywords, each with a meaning of its own
        self,
        targets: Iterable[Target],
        journal: Journal,
        *,
        rules: Rules,
        mode: Mode = Mode.OBSERVE,
        clock: Clock = time.time,
        connect: OpenConnection = open_connection,
    ) -> None:
        by_cluster: dict[str, list[Target]] = defaultdict(list)
        for target in targets:
            if target.system == "postgres":
                by_cluster[target.cluster].append(target)
        self.journal = journal
        self.last_watchdog: float | None = None
        self._clock = clock
        self.mode = mode
        self._signals = Signals(by_cluster, since=clock())
        context = Context(
            journal=journal,
            rules=rules,
            signals=self._signals,
            configured=frozenset(by_cluster),
            mode=mode,
            clock=clock,
            connect=connect,
        )
        self._clusters = {name: Cluster(name, servers, context) for name, servers in by_cluster.items()}
        self._elsewhere = Cluster("", (), context)

    @property
    def clusters(self) -> tuple[str, ...]:
        """The names of the configured clusters."""
        return tuple(self._clusters)

    async def run(self) -> None:
        """Watch and decide until cancelled; begins with the incidents that an earlier run left unfinished."""
        known = await self.journal.recall()
        async with asyncio.TaskGroup() as tasks:
            for name, cluster in self._clusters.items():
                tasks.create_task(cluster.run(known.get(name)))
            tasks.create_task(self._elsewhere.run(None))

    async def receive(self, webhook: Webhook) -> Recorded:
        """
        Write down what a webhook says and wake whoever decides about it; on disk when this returns.

        Raises:
            FailoverError: when it cannot be written: then it must not be acknowledged.

        """
        now = self._clock()
        asking = [alert for alert in webhook.alerts if not alert.is_watchdog and not alert.asks_nothing]
        recorded = await self.journal.record(asking, at=now) if asking else Recorded(opened=(), resolved=(), repeated=0)
        if any(alert.is_watchdog and alert.firing for alert in webhook.alerts):
            self.last_watchdog = now
        for alert in asking:
            self._clusters.get(alert.cluster, self._elsewhere).woken.set()
        self._count(webhook, recorded)
        return recorded

    def refused(self, outcome: str) -> None:
        """Count a request that was not accepted, by why."""
        self._signals.count(signals.REQUESTS, outcome)

    def batches(self) -> list[Batch]:
        """The controller's own samples."""
        now = signals.MODE.states(self.mode, tuple(Mode)) + signals.WATCHDOG.known(self.last_watchdog)
        return [*self._signals.batches(), Batch((), now), *(cluster.batch() for cluster in self._clusters.values())]

    def _count(self, webhook: Webhook, recorded: Recorded) -> None:
        watchdogs = sum(alert.is_watchdog for alert in webhook.alerts)
        idle = sum(alert.asks_nothing and not alert.is_watchdog for alert in webhook.alerts)
        outcomes = {
            "opened": len(recorded.opened),
            "resolved": len(recorded.resolved),
            "repeated": recorded.repeated,
            "watchdog": watchdogs,
            "ignored": idle,
        }
        for outcome, count in outcomes.items():
            self._signals.count(signals.ALERTS, outcome, by=count)
        for kind in ("opened", "resolved"):
            self._signals.count(signals.ENTRIES, kind, by=outcomes[kind])
        self._signals.count(signals.REQUESTS, "accepted")
        self._signals.count(signals.TRUNCATED, by=webhook.truncated)
        if webhook.truncated:
            logger.warning("Alertmanager left %d alerts out of a webhook: set max_alerts to 0", webhook.truncated)
