"""What the controller decides about real faults of a real pair, from the alert to the journal."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import psutil
import pytest

from observability.connect import Target
from observability.failover.controller import Controller
from observability.failover.journal import Incident, Journal, Kind
from observability.failover.model import (
    Alert,
    Hold,
    HoldReason,
    LastPrimary,
    Promote,
    Rules,
    Sight,
    Step,
    StepKind,
)
from observability.failover.observe import take_looks
from observability.failover.watch import Watch
from observability.failover.webhook import Webhook
from observability.lab.pairs import PostgresPair
from observability.lab.proxy import LineThread
from tests.live.failover.conftest import decided, no_primary, running, target, until

RULES = Rules(
    look_timeout_seconds=0.5,
    confirm_interval_seconds=0.1,
    standby_silence_seconds=1.0,
    watch_interval_seconds=0.1,
    max_unwatched_seconds=10.0,
)
STEPS = (Step(StepKind.FENCE, "pg-1"), Step(StepKind.PROMOTE, "pg-2"), Step(StepKind.VERIFY, "pg-2"))


def fires(*alerts: Alert) -> Webhook:
    """The webhook with these alerts."""
    return Webhook(alerts=alerts or (no_primary(),), truncated=0)


def holds(reason: HoldReason) -> Callable[[Incident], bool]:
    """Whether an incident is held for a reason."""
    return lambda incident: isinstance(incident.decision, Hold) and incident.decision.reason is reason


def promotes(incident: Incident) -> bool:
    """Whether somebody would be promoted."""
    return isinstance(incident.decision, Promote)


async def written_by_primary(journal: Journal, lsn: int) -> bool:
    """Whether the watch has seen the primary at a position or beyond it."""
    known = (await journal.recall()).get("demo")
    return known is not None and known.lsn >= lsn


@asynccontextmanager
async def watching(journal: Journal, targets: list[Target], rules: Rules = RULES) -> AsyncIterator[Controller]:
    """A controller that has seen the primary."""
    async with running(Controller(targets, journal, rules=rules)) as controller:
        await until(lambda: written_by_primary(journal, 1))
        yield controller


async def never_promoted(journal: Journal) -> bool:
    """Whether no decision of the first incident was to promote."""
    decisions = [entry.decision for entry in await journal.entries(1) if entry.kind is Kind.DECISION]
    return not any(isinstance(decision, Promote) for decision in decisions)


@pytest.fixture
def targets(postgres: PostgresPair) -> list[Target]:
    """The pair as the controller knows it."""
    return [target(postgres.primary), target(postgres.standby)]


@pytest.fixture
def detached(postgres: PostgresPair) -> Iterator[Callable[[], None]]:
    """Let the standby receive nothing more, and again at the end."""

    def reload(change: str) -> None:
        # ALTER SYSTEM cannot share a transaction with anything else.
        postgres.standby.sql(change)
        postgres.standby.sql("SELECT pg_reload_conf();")

    yield lambda: reload("ALTER SYSTEM SET primary_conninfo = '';")
    reload("ALTER SYSTEM RESET primary_conninfo;")


async def test_primary_that_answers_is_left_alone(journal: Journal, targets: list[Target]) -> None:
    """An alert while all is well is held after one look, and writes down who was seen."""
    async with watching(journal, targets) as controller:
        await controller.receive(fires())
        incident = await decided(journal, holds(HoldReason.PRIMARY_SEEN))
        assert incident.decision == Hold(HoldReason.PRIMARY_SEEN, "pg-1 answers as primary")
    opened, observation, decision = await journal.entries(1)
    assert [opened.kind, observation.kind, decision.kind] == [Kind.OPENED, Kind.OBSERVATION, Kind.DECISION]
    (look,) = observation.observation.looks
    assert [(view.node, view.sight) for view in look.views] == [("pg-1", Sight.PRIMARY), ("pg-2", Sight.STANDBY)]


async def test_killed_primary_would_be_replaced(
    postgres: PostgresPair, journal: Journal, targets: list[Target]
) -> None:
    """With the primary dead and nothing lacking, the standby is named with its position and the steps."""
    async with watching(journal, targets) as controller:
        postgres.primary.process.kill()
        await controller.receive(fires())
        incident = await decided(journal, promotes)
    seen = next(entry.observation for entry in (await journal.entries(1))[::-1] if entry.kind is Kind.OBSERVATION)
    standby = {view.node: view for view in seen.latest}["pg-2"]
    assert seen.last_primary is not None
    assert standby.received_lsn is not None
    assert isinstance(incident.decision, Promote)
    assert incident.decision == Promote(
        candidate="pg-2",
        replaces="pg-1",
        timeline=1,
        received_lsn=standby.received_lsn,
        behind_bytes=max(0, seen.last_primary.lsn - standby.received_lsn),
        unwatched_seconds=incident.decision.unwatched_seconds,
        steps=STEPS,
    )
    assert 0 < seen.last_primary.lsn <= standby.received_lsn + incident.decision.behind_bytes


async def test_frozen_primary_would_be_replaced_after_its_timeouts(
    postgres: PostgresPair, journal: Journal, targets: list[Target]
) -> None:
    """A server that is stopped in the middle costs its own timeouts; the standby's silence confirms it."""
    async with watching(journal, targets) as controller:
        postgres.primary.process.freeze()
        await controller.receive(fires())
        incident = await decided(journal, promotes)
    assert isinstance(incident.decision, Promote)
    assert (incident.decision.candidate, incident.decision.steps) == ("pg-2", STEPS)


async def test_frozen_primary_is_left_while_the_standby_just_heard_from_it(
    postgres: PostgresPair, journal: Journal, targets: list[Target]
) -> None:
    """What the standby heard a moment ago speaks against a loss, whatever our own looks say."""
    async with watching(journal, targets, replace(RULES, standby_silence_seconds=60)) as controller:
        postgres.primary.process.freeze()
        await controller.receive(fires())
        await decided(journal, holds(HoldReason.STANDBY_STREAMING))
        assert await never_promoted(journal)


async def test_hung_postmaster_is_seen_through_its_sessions(
    postgres: PostgresPair, journal: Journal, targets: list[Target]
) -> None:
    """When only newcomers hang, sessions go on writing: a primary that lives is not replaced."""
    async with watching(journal, targets) as controller:
        psutil.Process(postgres.primary.process.pid).send_signal(signal.SIGSTOP)
        await controller.receive(fires())
        incident = await decided(journal, lambda incident: incident.decision is not None)
        assert incident.decision == Hold(
            HoldReason.PRIMARY_SEEN, "a kept session to pg-1 still answers as primary, though new ones do not"
        )
        assert await never_promoted(journal)


async def test_controller_cut_off_from_the_primary_only(
    postgres: PostgresPair, journal: Journal, targets: list[Target], line: Callable[[int], LineThread]
) -> None:
    """The standby still gets WAL, so somebody sends it: our own blindness promotes nobody."""
    way = line(postgres.primary.port)
    async with watching(
        journal,
        [target(postgres.primary, port=way.port), targets[1]],
        replace(RULES, standby_silence_seconds=5.0),
    ) as controller:
        way.cut()
        await controller.receive(fires())
        await decided(journal, holds(HoldReason.STANDBY_STREAMING))
        assert await never_promoted(journal)


async def test_controller_cut_off_from_all(
    postgres: PostgresPair, journal: Journal, line: Callable[[int], LineThread]
) -> None:
    """Who sees nobody is probably the one that is cut off."""
    ways = [line(postgres.primary.port), line(postgres.standby.port)]
    servers = [postgres.primary, postgres.standby]
    behind_lines = [target(server, port=way.port) for server, way in zip(servers, ways, strict=True)]
    async with watching(journal, behind_lines) as controller:
        for way in ways:
            way.stall()
        await controller.receive(fires())
        await decided(journal, holds(HoldReason.ISOLATED))
        assert await never_promoted(journal)


async def test_standby_too_far_behind(
    postgres: PostgresPair, journal: Journal, targets: list[Target], detached: Callable[[], None]
) -> None:
    """What the primary was seen to have written, and the standby never got, is not given up."""
    async with watching(journal, targets) as controller:
        detached()
        before = (await journal.recall())["demo"].lsn
        postgres.primary.sql("SELECT pg_logical_emit_message(false, 'test', repeat('x', 3000000));")
        await until(lambda: written_by_primary(journal, before + 3_000_000))
        postgres.primary.process.kill()
        await controller.receive(fires())
        incident = await decided(journal, holds(HoldReason.RPO))
        assert isinstance(incident.decision, Hold)
        assert incident.decision.detail.endswith("the limit is 1048576")
        assert await never_promoted(journal)


async def test_nobody_knows_how_far_a_primary_was_that_nobody_saw(
    postgres: PostgresPair, journal: Journal, targets: list[Target]
) -> None:
    """A controller that starts after the loss refuses: it cannot tell what the standby lacks."""
    postgres.primary.process.kill()
    async with running(Controller(targets, journal, rules=RULES)) as controller:
        await controller.receive(fires())
        await decided(journal, holds(HoldReason.PRIMARY_UNKNOWN))
        assert await never_promoted(journal)


async def test_memory_of_an_earlier_run_is_too_old(
    postgres: PostgresPair, journal: Journal, targets: list[Target]
) -> None:
    """A position from before the controller's own outage tells nothing about what was written since."""
    watch = Watch(targets)
    await watch.look(1)
    watch.close()
    assert isinstance(watch.last_primary, LastPrimary)
    await journal.remember("demo", replace(watch.last_primary, seen_at=watch.last_primary.seen_at - 60))
    postgres.primary.process.kill()
    async with running(Controller(targets, journal, rules=RULES)) as controller:
        await controller.receive(fires())
        await decided(journal, holds(HoldReason.UNWATCHED))
        assert await never_promoted(journal)


async def test_recovery_is_noticed_while_the_alert_still_fires(
    postgres: PostgresPair, journal: Journal, targets: list[Target]
) -> None:
    """The controller goes on looking: a primary that comes back turns the decision, and resolving ends it."""
    alert = no_primary()
    async with watching(journal, targets) as controller:
        postgres.primary.process.kill()
        await controller.receive(fires(alert))
        await decided(journal, promotes)
        postgres.heal()
        await decided(journal, holds(HoldReason.PRIMARY_SEEN))
        await controller.receive(fires(replace(alert, firing=False)))
        assert (await decided(journal, lambda incident: incident.ended is not None)).ended is Kind.RESOLVED
    kinds = [entry.kind for entry in await journal.entries(1)]
    assert kinds[0] is Kind.OPENED
    assert kinds[-1] is Kind.RESOLVED
    assert kinds.count(Kind.OPENED) == kinds.count(Kind.RESOLVED) == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"cluster": "other"}, HoldReason.UNKNOWN_CLUSTER, id="cluster"),
        pytest.param({"action": "reboot"}, HoldReason.UNKNOWN_ACTION, id="action"),
        pytest.param({"starts_at": 1.0}, HoldReason.STALE_ALERT, id="age"),
    ],
)
async def test_alert_that_no_look_can_change_is_closed(
    journal: Journal, targets: list[Target], changes: dict[str, object], reason: HoldReason
) -> None:
    """Such an alert is held with its reason and closed, and nobody is even looked at."""
    async with watching(journal, targets) as controller:
        await controller.receive(fires(replace(no_primary(), **changes)))  # type: ignore[arg-type]  # fields by name
        incident = await decided(journal, lambda incident: incident.ended is not None)
    assert incident.ended is Kind.CLOSED
    assert isinstance(incident.decision, Hold)
    assert incident.decision.reason is reason
    entries = await journal.entries(1)
    assert [entry.kind for entry in entries] == [Kind.OPENED, Kind.OBSERVATION, Kind.DECISION, Kind.CLOSED]
    assert entries[1].observation.looks == ()


async def test_looks_leave_no_session_behind(postgres: PostgresPair, targets: list[Target]) -> None:
    """Each look has its own sessions and takes them away again."""
    for _ in range(3):
        await take_looks(targets, RULES)
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ha-observability'"
    await until(lambda: postgres.primary.sql(count) == "0")
