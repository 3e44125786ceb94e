"""
Runs probes: targets side by side, one kept connection each, within a deadline; a probe costs only its own samples.

The runner measures success, duration and reason; probes know nothing of it. Nothing is kept from one scrape to the next
but connections, so nothing can be stale.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from observability.errors import Reason, TargetError
from observability.metrics import Batch, Metric, Sample
from observability.probes import PROBES
from observability.probes.cluster import Member, WalHistory, compare
from observability.probes.probe import Answer, Connection, Failure, Probe, Question

logger = logging.getLogger(__name__)

UP = Metric(
    name="ha.target.up",
    kind="gauge",
    help="1 when the target answered this scrape as it should, 0 when it did not; always there, with the cause in ha.target.state.",
    labels=("system",),
)
STATE = Metric(
    name="ha.target.state",
    kind="gauge",
    help="1 for what the target is now (ok, or why it is not up), 0 for all other states.",
    labels=("state",),
)
PROBE_SUCCESS = Metric(
    name="ha.probe.success",
    kind="gauge",
    help="1 when the probe got its answer in this scrape, 0 when it did not and its other samples are therefore absent.",
    labels=("probe",),
)
PROBE_DURATION = Metric(
    name="ha.probe.duration",
    kind="gauge",
    unit="s",
    help="Time that the probe's question took, failed ones included; probes that share a question share its time.",
    labels=("probe",),
)
PROBE_ERROR = Metric(
    name="ha.probe.error",
    kind="gauge",
    help="Always 1, and only there while the probe fails: its label says why.",
    labels=("probe", "reason"),
)
SCRAPE_DURATION = Metric(
    name="ha.scrape.duration",
    kind="gauge",
    unit="s",
    help="Time that the exporter took to ask all targets.",
)
EXPORTER_INFO = Metric(
    name="ha.exporter.info",
    kind="gauge",
    help="Always 1; its label says which version of the exporter answers.",
    labels=("version",),
)
EXPORTER_START_TIME = Metric(
    name="ha.exporter.start.time",
    kind="gauge",
    unit="s",
    help="When the exporter started, in seconds since the epoch.",
)
METRICS = (EXPORTER_INFO, EXPORTER_START_TIME, UP, STATE, PROBE_SUCCESS, PROBE_DURATION, PROBE_ERROR, SCRAPE_DURATION)

_GRACE_SECONDS = 0.05
"""Drivers keep their own deadline; the runner's second fence comes this much later, and that of a sharer later again."""


class Target(Protocol):
    """What the runner needs to know of a target."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def system(self) -> str: ...  # noqa: D102
    @property
    def cluster(self) -> str: ...  # noqa: D102
    @property
    def attributes(self) -> tuple[tuple[str, str], ...]: ...  # noqa: D102
    @property
    def timeout_seconds(self) -> float: ...  # noqa: D102


class Look(NamedTuple):
    """
    What one look at a target brought: samples for the sinks, outcomes and notes for `/probe?debug=1`.

    `notes` has a sentence for each answer that a probe could not read, or not all of it.
    """

    target: Target
    samples: list[Sample]
    outcomes: dict[Question, Answer | Failure]
    reason: Reason
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


class Asked(NamedTuple):
    """Which probe asked what, and what came back for each question."""

    questions: list[tuple[Probe, Question]]
    outcomes: dict[Question, Answer | Failure]

    @property
    def line_was_dead(self) -> bool:
        """True when each question met a connection that was already gone."""
        dead = {Reason.CLOSED, Reason.STOPPING}
        return all(isinstance(each, Failure) and each.reason in dead for each in self.outcomes.values())


class Watcher:
    """
    Looks at one target over one kept connection.

    Looks that overlap share one run: two Prometheus servers never make two statements, and a late run is never doubled.
    """

    def __init__(self, target: Target, open_connection: OpenConnection, probes: Sequence[Probe] = PROBES) -> None:
        self.target = target
        self._open = open_connection
        self._probes = [probe for probe in probes if probe.system == target.system]
        self._connection: Connection | None = None
        self._running: asyncio.Task[Look] | None = None

    async def look(self, timeout: float) -> Look:
        """Ask everything, within `timeout` seconds and the target's own."""
        running = self._running
        late = Failure(Reason.LATE, "an earlier look at this target is still running", timeout)
        if running is None or running.done():
            running = self._running = asyncio.create_task(self._look(min(timeout, self.target.timeout_seconds)))
            late = Failure(Reason.HUNG, f"no answer within {timeout:.3g} s", timeout)
        try:
            return await asyncio.wait_for(asyncio.shield(running), timeout + 2 * _GRACE_SECONDS)
        except TimeoutError:
            return self._failed(late)

    async def close(self) -> None:
        """Drop the connection and whatever is running."""
        if self._running is not None and not self._running.done():
            self._running.cancel()
            await asyncio.wait([self._running])
        self._drop()

    async def _look(self, timeout: float) -> Look:
        started = time.monotonic()
        try:
            async with asyncio.timeout(timeout + _GRACE_SECONDS):
                asked = await self._ask_all(started + timeout)
        except TimeoutError:
            self._drop()
            asked = Failure(Reason.HUNG, f"no answer within {timeout:.3g} s")
        except Exception as error:
            # The border around a target: what a driver makes of garbage may be anything, and costs this target only.
            logger.exception("%s: the driver failed", self.target.name)
            self._drop()
            asked = Failure(Reason.ERROR, f"the driver failed with {type(error).__name__}; see the exporter's log")
        if isinstance(asked, Failure):
            return self._failed(asked._replace(seconds=time.monotonic() - started))
        look = self._read(asked)
        return look._replace(seconds=time.monotonic() - started)

    async def _ask_all(self, deadline: float) -> Asked | Failure:
        kept = self._connection is not None and self._connection.usable
        asked = await self._ask(deadline)
        if kept and isinstance(asked, Asked) and asked.line_was_dead:
            asked = await self._ask(deadline)  # the kept line had died since the last scrape: the target may be well
        return asked

    async def _ask(self, deadline: float) -> Asked | Failure:
        if self._connection is None or not self._connection.usable:
            self._drop()
            opened = await self._open(self.target, max(0.001, deadline - time.monotonic()))
            if isinstance(opened, Failure):
                return opened
            self._connection = opened
        connection = self._connection
        every = [(probe, probe.question(connection.facts)) for probe in self._probes]
        questions = [(probe, question) for probe, question in every if question is not None]
        unique = list(dict.fromkeys(question for _, question in questions))
        outcomes = await connection.ask(unique, max(0.001, deadline - time.monotonic()))
        if not connection.usable:
            self._drop()
        return Asked(questions, dict(zip(unique, outcomes, strict=True)))

    def _read(self, asked: Asked) -> Look:
        samples: list[Sample] = []
        reasons: list[Reason] = []
        notes: list[str] = []
        for probe, question in asked.questions:
            outcome = asked.outcomes[question]
            problem = (
                outcome if isinstance(outcome, Failure) else read_answer(probe, outcome, samples, self.target.name)
            )
            if problem is not None and problem is not outcome:
                notes.append(f"{probe.name}: {problem.message}")
            reasons.append(Reason.OK if problem is None else problem.reason)
            samples.extend(_about(probe, reasons[-1], outcome.seconds))
        reason = Reason.OK if Reason.OK in reasons or not reasons else reasons[0]
        return self._verdict(samples, asked.outcomes, reason)._replace(notes=tuple(notes))

    def _failed(self, failure: Failure) -> Look:
        samples = [sample for probe in self._probes for sample in _about(probe, failure.reason, failure.seconds)]
        return self._verdict(samples, {"connect": failure}, failure.reason)._replace(seconds=failure.seconds)

    def _verdict(self, samples: list[Sample], outcomes: dict[Question, Answer | Failure], reason: Reason) -> Look:
        about = [UP.sample(float(reason is Reason.OK), self.target.system), *STATE.states(reason, list(Reason))]
        return Look(self.target, about + samples, outcomes, reason)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.abort()
            self._connection = None


OpenConnection: TypeAlias = Callable[[Target, float], Awaitable[Connection | Failure]]


class Scraper:
    """All targets, looked at side by side."""

    def __init__(self, targets: Iterable[Target], open_connection: OpenConnection) -> None:
        self.watchers = {target.name: Watcher(target, open_connection) for target in targets}
        self._histories: dict[str, WalHistory] = {}

    async def scrape(self, timeout: float) -> list[Batch]:
        """The samples of every target and of their clusters, within `timeout` seconds whatever the targets do."""
        started = time.monotonic()
        looks = await asyncio.gather(*(watcher.look(timeout) for watcher in self.watchers.values()))
        members = [
            Member(look.target.cluster, look.target.name, look.target.system, look.target.attributes, look.samples)
            for look in looks
        ]
        batches = [Batch(look.target.attributes, look.samples) for look in looks]
        batches.extend(compare(members, self._histories, started))
        batches.append(Batch((), [SCRAPE_DURATION.sample(time.monotonic() - started)]))
        return batches

    async def close(self) -> None:
        """Drop all connections."""
        await asyncio.gather(*(watcher.close() for watcher in self.watchers.values()))


def read_answer(probe: Probe, answer: Answer, samples: list[Sample], server: str) -> Failure | None:
    """Add the probe's samples to `samples`; why there are none, or only some, otherwise None."""
    try:
        samples.extend(probe.read(answer.value))
    except TargetError as error:
        return Failure(error.reason, str(error))
    except Exception as error:
        # The border around a probe: an answer that it cannot read costs its samples and nobody else's.
        logger.exception("%s: probe %s cannot read the answer", server, probe.name)
        return Failure(Reason.ERROR, f"the answer cannot be read ({type(error).__name__}); see the exporter's log")
    return None


def _about(probe: Probe, reason: Reason, seconds: float) -> list[Sample]:
    ok = reason is Reason.OK
    about = [PROBE_SUCCESS.sample(float(ok), probe.name), PROBE_DURATION.sample(seconds, probe.name)]
    return about if ok else [*about, PROBE_ERROR.sample(1, probe.name, reason)]
