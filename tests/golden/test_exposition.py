"""
The whole exposition of a cluster, made from recorded answers: any change of a name, help, label or value shows in review.

`pytest tests/golden --update-golden` writes the file anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from observability.connect import Target
from observability.connect.http import Response
from observability.errors import Reason
from observability.export.prometheus import render
from observability.metrics import Batch, Metric, Sample
from observability.probes import PROBES, cluster
from observability.probes.postgres import replication, senders, server
from observability.probes.probe import Answer, Connection, Facts, Failure, Question
from observability.probes.redis import replication as redis_replication
from observability.scrape import EXPORTER_INFO, EXPORTER_START_TIME, METRICS, PROBE_DURATION, SCRAPE_DURATION, Scraper
from tests.unit.probes.recorded import PRIMARY, STANDBY, redis_info

GOLDEN = Path(__file__).with_name("exposition.txt")

LAGGING = {
    "replay_bytes": 4_096.0,
    "write_seconds": 0.001,
    "flush_seconds": 0.002,
    "replay_seconds": 0.25,
}
"""What the recorded receiver, which was idle, would have shown a moment after a write."""

ANSWERS: dict[str, dict[str, Any] | Failure] = {
    "pg-1": PRIMARY | {"postgres.senders": [PRIMARY["postgres.senders"][0] | LAGGING]},
    "pg-2": STANDBY | {"postgres.replication": [STANDBY["postgres.replication"][0] | {"replayed": 50_495_240.0}]},
    "pg-3": Failure(Reason.REFUSED, "Connection refused"),
    "redis-1": {"redis": redis_info("7-master")},
    "redis-2": {"redis": dict(redis_info("6.2-replica"))},
    "web": {"http.response": Response(503, False, 0.125)},
}
SYSTEMS = {"pg": "postgres", "redis": "redis", "web": "http"}

ABSENT = {
    redis_replication.LINK_DOWN_TIME: "the replica's link is up",
    redis_replication.REPLICAS_MIN: "min-replicas-to-write is not set",
}
"""Metrics that have no sample in this cluster, and why: a decision each."""


class Recorded(NamedTuple):
    """A connection that gives recorded answers."""

    answers: dict[Question, Any]
    facts: Facts = Facts(160_014)
    usable: bool = True

    async def ask(self, questions: Sequence[Question], timeout: float) -> list[Answer | Failure]:  # noqa: ARG002
        """What was recorded."""
        return [Answer(self.answers[question], 0.001) for question in questions]

    def abort(self) -> None:
        """Nothing is open."""


async def recorded(target: Any, timeout: float) -> Connection | Failure:  # noqa: ARG001 -- a driver's signature
    """What a driver would open."""
    answers = ANSWERS[target.name]
    if isinstance(answers, Failure):
        return answers
    asked = [(probe, probe.question(Facts())) for probe in PROBES if probe.system == target.system]
    return Recorded(
        {question: answers.get(probe.name, answers.get(probe.system)) for probe, question in asked if question}
    )  # type: ignore[return-value]  # a tuple's fields are read-only


async def batches() -> list[Batch]:
    """One scrape, with what the clock measured pinned."""
    targets = [
        Target(name=name, system=SYSTEMS[name.split("-")[0]], cluster="demo", zone="" if name == "web" else "a")
        for name in ANSWERS
    ]
    found = await Scraper(targets, recorded).scrape(1.0)
    about = Batch((), [EXPORTER_INFO.sample(1, "0.0.0"), EXPORTER_START_TIME.sample(1_700_000_000)])
    return [batch._replace(samples=[pinned(sample) for sample in batch.samples]) for batch in [*found, about]]


def pinned(sample: Sample) -> Sample:
    """A duration as if every look took a millisecond."""
    return sample._replace(value=0.001) if sample.metric in {PROBE_DURATION, SCRAPE_DURATION} else sample


async def test_exposition(update_golden: bool) -> None:
    """The page is the one that was agreed on, line by line."""
    page = render(await batches()).decode()
    if update_golden:
        GOLDEN.write_text(page)
    assert GOLDEN.read_text().splitlines() == page.splitlines()


async def test_every_metric_of_the_exporter_is_there() -> None:
    """The page shows each metric that the exporter has; what is absent is so for a reason that is written down."""
    declared: set[Metric] = {*METRICS, *cluster.METRICS, *(metric for probe in PROBES for metric in probe.metrics)}
    shown = {sample.metric for batch in await batches() for sample in batch.samples}
    assert {metric.name for metric in declared - shown} == {metric.name for metric in ABSENT}
    assert server.INFO in shown
    assert {replication.WAL_POSITION, senders.SENDER_LAG} < shown
