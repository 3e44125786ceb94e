"""What the controller tells about itself: its metrics, and the counts of what happened."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable

from observability.failover.model import HoldReason, Plan, Promote
from observability.metrics import Batch, Histogram, Metric

REQUESTS = Metric(
    name="ha.failover.webhook.requests",
    kind="counter",
    unit="{request}",
    help="Webhook requests by what became of them: accepted, or why they were refused.",
    labels=("outcome",),
)
ALERTS = Metric(
    name="ha.failover.webhook.alerts",
    kind="counter",
    unit="{alert}",
    help="Alerts in accepted webhooks: opened an incident, resolved one, repeated a known one, watchdog, or asked nothing.",
    labels=("outcome",),
)
TRUNCATED = Metric(
    name="ha.failover.webhook.truncated",
    kind="counter",
    unit="{alert}",
    help="Alerts that Alertmanager left out of its webhooks because of max_alerts; anything above 0 is a misconfiguration.",
)
WATCHDOG = Metric(
    name="ha.failover.watchdog.timestamp",
    kind="gauge",
    unit="s",
    help="When the watchdog alert last arrived, since the epoch; absent until it does. Old: no alert would arrive either.",
)
DECISIONS = Metric(
    name="ha.failover.decisions",
    kind="counter",
    unit="{decision}",
    help="Decisions written to the journal by outcome and reason; one that repeats the last one is not written again.",
    labels=("outcome", "reason"),
)
OBSERVATION = Metric(
    name="ha.failover.observation.duration",
    kind="histogram",
    unit="s",
    help="Time from the first look at a cluster to the last, pauses and timeouts included.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
INCIDENTS = Metric(
    name="ha.failover.incidents",
    kind="gauge",
    unit="{incident}",
    help="Incidents that are open now: their alert fires, and the controller goes on looking.",
)
MODE = Metric(
    name="ha.failover.mode",
    kind="gauge",
    help="1 for how far the controller may go, 0 for the other modes. In off and observe nothing fails over by itself.",
    labels=("mode",),
)
ENTRIES = Metric(
    name="ha.failover.journal.entries",
    kind="counter",
    unit="{entry}",
    help="Entries that this process wrote to the journal, by kind.",
    labels=("kind",),
)
ERRORS = Metric(
    name="ha.failover.errors",
    kind="counter",
    unit="{error}",
    help="Rounds of the controller that ended in an error; its log has class and message. It goes on with the next one.",
    labels=("loop",),
)
PRIMARY_SEEN = Metric(
    name="ha.failover.primary.timestamp",
    kind="gauge",
    unit="s",
    help="When the controller last saw a primary, since the epoch; absent if never. Without it no failover is within the RPO.",
)
METRICS = (
    REQUESTS,
    ALERTS,
    TRUNCATED,
    WATCHDOG,
    DECISIONS,
    OBSERVATION,
    INCIDENTS,
    MODE,
    ENTRIES,
    ERRORS,
    PRIMARY_SEEN,
)

REQUEST_OUTCOMES = ("accepted", "unauthorized", "too_large", "malformed", "too_many", "too_slow", "not_stored")
ALERT_OUTCOMES = ("opened", "resolved", "repeated", "watchdog", "ignored")
KINDS = ("opened", "observation", "decision", "resolved", "closed")
LOOPS = ("watch", "remember", "decide")


class Signals:
    """
    Counts happenings, by cluster where they have a configured one.

    All series exist from the start, so that a rate sees the first happening too.
    """

    def __init__(self, clusters: Iterable[str], *, since: float) -> None:
        self._since = since
        self._counts: dict[str, Counter[tuple[Metric, tuple[str, ...]]]] = defaultdict(Counter)
        self._durations: dict[str, Histogram] = {}
        general = self._counts[""]
        general[TRUNCATED, ()] = 0
        general[DECISIONS, ("hold", HoldReason.UNKNOWN_CLUSTER.value)] = 0
        for metric, values in ((REQUESTS, REQUEST_OUTCOMES), (ALERTS, ALERT_OUTCOMES), (ENTRIES, KINDS)):
            general.update({(metric, (value,)): 0 for value in values})
        for cluster in clusters:
            counts = self._counts[cluster]
            counts[DECISIONS, ("promote", "ready")] = 0
            counts.update({(DECISIONS, ("hold", reason.value)): 0 for reason in HoldReason})
            counts.update({(ERRORS, (loop,)): 0 for loop in LOOPS})

    def count(self, metric: Metric, *labels: str, cluster: str = "", by: int = 1) -> None:
        """Something happened."""
        self._counts[cluster][metric, labels] += by

    def decided(self, cluster: str, plan: Plan) -> None:
        """A decision was written down with its observation."""
        self.count(ENTRIES, "observation")
        self.count(ENTRIES, "decision")
        self.count(DECISIONS, plan.outcome, "ready" if isinstance(plan, Promote) else plan.reason, cluster=cluster)

    def observed(self, cluster: str, seconds: float) -> None:
        """All looks for one decision took so long."""
        before = self._durations.get(cluster, Histogram((0,) * (len(OBSERVATION.buckets) + 1), 0.0))
        counts = list(before.counts)
        counts[bisect_left(OBSERVATION.buckets, seconds)] += 1
        self._durations[cluster] = Histogram(tuple(counts), before.sum + seconds)

    def batches(self) -> Iterable[Batch]:
        """What happened so far."""
        for cluster, counts in self._counts.items():
            samples = [metric.sample(count, *labels) for (metric, labels), count in counts.items()]
            if cluster in self._durations:
                samples.append(OBSERVATION.sample(self._durations[cluster]))
            yield Batch((("cluster", cluster),) if cluster else (), samples, self._since)
