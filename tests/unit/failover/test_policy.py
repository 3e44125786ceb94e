"""The policy as a table: what is seen on the left, the whole decision on the right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from observability.errors import Reason
from observability.failover.model import Hold, HoldReason, Look, Observation, Plan, Promote, Step, StepKind
from observability.failover.policy import plan
from tests.unit.failover.scenes import ALERT, LAST, LSN, NOW, RULES, gone, primary, seen, standby


def promote(candidate: str, *others: str, lacks: int = 0, unwatched: float = 1.0) -> Promote:
    """The plan that puts `candidate` in the place of pg-1 and lets `others` follow it."""
    return Promote(
        candidate=candidate,
        replaces="pg-1",
        timeline=1,
        received_lsn=LSN - lacks,
        behind_bytes=max(0, lacks),
        unwatched_seconds=unwatched,
        steps=(
            Step(StepKind.FENCE, "pg-1"),
            Step(StepKind.PROMOTE, candidate),
            *(Step(StepKind.FOLLOW, node) for node in others),
            Step(StepKind.VERIFY, candidate),
        ),
    )


def hold(reason: HoldReason, detail: str) -> Hold:
    """A hold, written short."""
    return Hold(reason, detail)


WHOM = {
    "the first of two equal standbys": (seen(), promote("pg-2", "pg-3")),
    "a frozen primary": (seen(gone(reason=Reason.HUNG), standby(), standby("pg-3")), promote("pg-2", "pg-3")),
    "a frozen primary to which the standby is still connected": (
        seen(gone(reason=Reason.HUNG), standby(receiving=True, heard_seconds=5.0)),
        promote("pg-2"),
    ),
    "of two equals the first by name, in whatever order they answer": (
        seen(gone(), standby("pg-3"), standby()),
        promote("pg-2", "pg-3"),
    ),
    "a server of another cluster is passed over": (
        seen(gone(), standby(), standby("pg-9", received_lsn=LSN + 8), nodes=("pg-1", "pg-2")),
        promote("pg-2"),
    ),
    "a pair of which one half is left": (seen(gone(), standby()), promote("pg-2")),
    "the one that received more": (
        seen(gone(), standby(received_lsn=LSN - 8), standby("pg-3")),
        promote("pg-3", "pg-2"),
    ),
    "one that received more than the watch saw": (
        seen(gone(), standby(), standby("pg-3", received_lsn=LSN + 8)),
        promote("pg-3", "pg-2", lacks=-8),
    ),
    "received counts, not replayed": (
        seen(gone(), standby(received_lsn=LSN - 8, replayed_lsn=LSN - 99), standby("pg-3", received_lsn=LSN - 9)),
        promote("pg-2", "pg-3", lacks=8),
    ),
    "an older timeline is passed over": (seen(gone(), standby(timeline=0), standby("pg-3")), promote("pg-3", "pg-2")),
    "a paused one is passed over": (
        seen(gone(), standby(replay_paused=True), standby("pg-3")),
        promote("pg-3", "pg-2"),
    ),
    "an unknown position is passed over": (
        seen(gone(), standby(received_lsn=None), standby("pg-3")),
        promote("pg-3", "pg-2"),
    ),
    "exactly at the limit": (
        seen(gone(), standby(received_lsn=LSN - RULES.max_lag_bytes)),
        promote("pg-2", lacks=RULES.max_lag_bytes),
    ),
    "the watch had not noticed yet": (
        seen(last_primary=replace(LAST, seen_at=NOW - 2, missed_at=None)),
        promote("pg-2", "pg-3", unwatched=0.5),
    ),
    "long after the last change": (
        seen(last_primary=replace(LAST, changed_at=NOW - RULES.cooldown_seconds)),
        promote("pg-2", "pg-3"),
    ),
}

ALERTS = {
    "resolved": (replace(ALERT, firing=False), hold(HoldReason.NOT_FIRING, "PostgresNoPrimary is resolved")),
    "another action": (
        replace(ALERT, action="reboot"),
        hold(HoldReason.UNKNOWN_ACTION, "ha_action='reboot' is not an action of this controller"),
    ),
    "old": (
        replace(ALERT, starts_at=NOW - 601),
        hold(HoldReason.STALE_ALERT, "it began 601 s ago, the limit is 600 s: a person should judge"),
    ),
    "from the future": (
        replace(ALERT, starts_at=NOW + 31),
        hold(HoldReason.STALE_ALERT, "it begins 31 s in the future: the clocks disagree"),
    ),
    "no time at all": (
        replace(ALERT, starts_at=float("nan")),
        hold(HoldReason.STALE_ALERT, "it began nan s ago, the limit is 600 s: a person should judge"),
    ),
}

SIGHTS = {
    "primary answers": (
        seen(primary(), standby()),
        hold(HoldReason.PRIMARY_SEEN, "pg-1 answers as primary"),
    ),
    "primary answered the first look only": (
        seen(gone(), standby(), first=(primary(), standby())),
        hold(HoldReason.PRIMARY_SEEN, "pg-1 answers as primary"),
    ),
    "another one was promoted already": (
        seen(gone(), primary("pg-2", timeline=2)),
        hold(HoldReason.PRIMARY_SEEN, "pg-2 answers as primary"),
    ),
    "two primaries": (
        seen(primary(), primary("pg-2")),
        hold(HoldReason.SPLIT_BRAIN, "pg-1, pg-2 all answer as primary"),
    ),
    "two primaries, one in each look": (
        seen(gone(), primary("pg-2"), first=(primary(), standby())),
        hold(HoldReason.SPLIT_BRAIN, "pg-1, pg-2 all answer as primary"),
    ),
    "a kept session still answers": (
        seen(last_primary=replace(LAST, seen_at=NOW - 1, missed_at=None)),
        hold(HoldReason.PRIMARY_SEEN, "a kept session to pg-1 still answers as primary, though new ones do not"),
    ),
    "a standby just heard from it": (
        seen(gone(reason=Reason.HUNG), standby(receiving=True, heard_seconds=0.2)),
        hold(HoldReason.STANDBY_STREAMING, "pg-2 heard from its primary 0.2 s ago"),
    ),
    "a standby is connected, and since when is unknown": (
        seen(gone(), standby(receiving=True)),
        hold(
            HoldReason.STANDBY_STREAMING,
            "it cannot be told whether pg-2 still hears from the primary (is our role in pg_monitor?)",
        ),
    ),
    "a standby is connected, and since when is no number": (
        seen(gone(), standby(receiving=True, heard_seconds=float("nan"))),
        hold(HoldReason.STANDBY_STREAMING, "pg-2 heard from its primary nan s ago"),
    ),
    "it is unknown whether a standby is connected": (
        seen(gone(), standby(receiving=None)),
        hold(
            HoldReason.STANDBY_STREAMING,
            "it cannot be told whether pg-2 still hears from the primary (is our role in pg_monitor?)",
        ),
    ),
}

SIGHTLESS = {
    "no look yet": (seen(looks=()), hold(HoldReason.NOT_CONFIRMED, "0 of 2 looks were taken")),
    "one look only": (seen(looks=seen().looks[:1]), hold(HoldReason.NOT_CONFIRMED, "1 of 2 looks were taken")),
    "a server was left out": (
        seen(gone(), standby(), nodes=("pg-1", "pg-2", "pg-3")),
        hold(HoldReason.NOT_CONFIRMED, "nobody looked at pg-3"),
    ),
    "nothing answers": (
        seen(gone(), gone("pg-2")),
        hold(HoldReason.ISOLATED, "only 0 of 2 servers answer: this controller may be the one that is cut off"),
    ),
    "less than half answers": (
        seen(gone(), standby(), gone("pg-3")),
        hold(HoldReason.ISOLATED, "only 1 of 3 servers answer: this controller may be the one that is cut off"),
    ),
    "it starts": (
        seen(gone(reason=Reason.STARTING), standby()),
        hold(HoldReason.ROLE_UNKNOWN, "it cannot be told whether one of these is a primary (pg-1: starting)"),
    ),
    "it is full": (
        seen(gone(), standby(), first=(gone(reason=Reason.TOO_MANY_CONNECTIONS), standby())),
        hold(
            HoldReason.ROLE_UNKNOWN,
            "it cannot be told whether one of these is a primary (pg-1: too_many_connections)",
        ),
    ),
    "a wrong password": (
        seen(gone(), standby(), gone("pg-3", Reason.AUTH), nodes=("pg-1", "pg-2")),
        hold(HoldReason.ROLE_UNKNOWN, "it cannot be told whether one of these is a primary (pg-3: auth)"),
    ),
    "an answer without a role": (
        seen(gone(), standby(), first=(gone(), standby(in_recovery=None))),
        hold(HoldReason.ROLE_UNKNOWN, "it cannot be told whether one of these is a primary (pg-2: ok)"),
    ),
}

NOBODY_KNOWS = "the primary was never seen while it lived, so nobody knows how much a standby lacks"
LOSSES = {
    "the primary was never seen": (seen(last_primary=None), hold(HoldReason.PRIMARY_UNKNOWN, NOBODY_KNOWS)),
    "the primary is no longer configured": (
        seen(last_primary=replace(LAST, node="pg-9")),
        hold(HoldReason.PRIMARY_UNKNOWN, NOBODY_KNOWS),
    ),
    "nobody watched when it went": (
        seen(last_primary=replace(LAST, seen_at=NOW - 100)),
        hold(
            HoldReason.UNWATCHED,
            "nobody read the position of pg-1 for 96.0 s before it was lost, the limit is 5 s",
        ),
    ),
    "missed before it was seen: a memory that cannot be": (
        seen(last_primary=replace(LAST, seen_at=NOW - 2, missed_at=NOW - 4)),
        hold(
            HoldReason.UNWATCHED,
            "nobody read the position of pg-1 for -2.0 s before it was lost, the limit is 5 s",
        ),
    ),
    "no server is configured": (
        seen(gone(), standby("pg-9"), nodes=()),
        hold(HoldReason.UNKNOWN_CLUSTER, "no PostgreSQL target is configured for cluster 'demo'"),
    ),
    "a copy of something else": (
        seen(gone(), standby(system_identifier="1"), standby("pg-3")),
        hold(
            HoldReason.DIFFERENT_SYSTEM,
            "pg-2: not known to be a copy of pg-1 (system identifier 7312345678901234567)",
        ),
    ),
    "of unknown origin": (
        seen(gone(), standby(system_identifier=None)),
        hold(
            HoldReason.DIFFERENT_SYSTEM,
            "pg-2: not known to be a copy of pg-1 (system identifier 7312345678901234567)",
        ),
    ),
    "all on an older timeline": (
        seen(gone(), standby(timeline=0)),
        hold(HoldReason.TIMELINE, "not every standby is known to follow timeline 1"),
    ),
    "one on a newer timeline": (
        seen(gone(), standby(), standby("pg-3", timeline=2)),
        hold(HoldReason.TIMELINE, "not every standby is known to follow timeline 1"),
    ),
    "one on an unknown timeline": (
        seen(gone(), standby(), standby("pg-3", timeline=None)),
        hold(HoldReason.TIMELINE, "not every standby is known to follow timeline 1"),
    ),
    "all paused, or perhaps": (
        seen(gone(), standby(replay_paused=True), standby("pg-3", replay_paused=None)),
        hold(HoldReason.REPLAY_PAUSED, "replay is paused, or may be, on pg-2, pg-3"),
    ),
    "no position known": (
        seen(gone(), standby(received_lsn=None)),
        hold(HoldReason.LSN_UNKNOWN, "pg-2: received position unknown"),
    ),
    "one byte beyond the limit": (
        seen(gone(), standby(received_lsn=LSN - RULES.max_lag_bytes - 1)),
        hold(HoldReason.RPO, "the best standby lacks 1048577 bytes of 0/3000148, the limit is 1048576"),
    ),
    "too soon after the last change": (
        seen(last_primary=replace(LAST, changed_at=NOW - 3599)),
        hold(HoldReason.COOLDOWN, "the primary changed 3599 s ago, the cooldown is 3600 s"),
    ),
}


@pytest.mark.parametrize(("observation", "expected"), WHOM.values(), ids=WHOM.keys())
def test_promotes_the_best_standby(observation: Observation, expected: Plan) -> None:
    """When no primary is left, the standby that has most of it is named, with what it lacks and the steps."""
    assert plan(observation, RULES) == expected


@pytest.mark.parametrize(("alert", "expected"), ALERTS.values(), ids=ALERTS.keys())
def test_alert_that_asks_for_nothing(alert: object, expected: Plan) -> None:
    """An alert that is resolved, old or unknown is held before anybody looks."""
    assert plan(seen(alert=alert, looks=()), RULES) == expected


@pytest.mark.parametrize(("observation", "expected"), SIGHTS.values(), ids=SIGHTS.keys())
def test_any_sight_of_a_primary_vetoes(observation: Observation, expected: Plan) -> None:
    """A primary that anybody sees, in any look and in any way, is left alone."""
    assert plan(observation, RULES) == expected


@pytest.mark.parametrize(("observation", "expected"), SIGHTLESS.values(), ids=SIGHTLESS.keys())
def test_not_seeing_is_not_knowing(observation: Observation, expected: Plan) -> None:
    """Too few looks, too few answers, or a sign of life without a role promote nobody."""
    assert plan(observation, RULES) == expected


@pytest.mark.parametrize(("observation", "expected"), LOSSES.values(), ids=LOSSES.keys())
def test_no_data_is_given_up(observation: Observation, expected: Plan) -> None:
    """Without a standby that surely has enough, nobody is promoted."""
    assert plan(observation, RULES) == expected


def test_no_loss_at_all_needs_a_synchronous_standby() -> None:
    """With an RPO of 0, an asynchronous standby that looks complete is not: the last writes were seen by nobody."""
    strict = replace(RULES, max_lag_bytes=0)
    assert plan(seen(), strict) == hold(
        HoldReason.RPO, "no write may be lost, and no standby was synchronous when the primary was last seen"
    )
    guarded = seen(last_primary=replace(LAST, synchronous=("pg-3",)))
    assert plan(guarded, strict) == promote("pg-3", "pg-2")


def test_demoted_primary_needs_no_fence() -> None:
    """A former primary that answers as standby may be chosen again, and is not fenced from itself."""
    views = (standby("pg-1"), standby(received_lsn=LSN - 8))
    expected = replace(
        promote("pg-1"),
        steps=(Step(StepKind.PROMOTE, "pg-1"), Step(StepKind.FOLLOW, "pg-2"), Step(StepKind.VERIFY, "pg-1")),
    )
    assert plan(seen(*views), RULES) == expected


def test_all_servers_gone_but_a_stranger() -> None:
    """A server that is not of the cluster is neither counted nor promoted."""
    looks = (Look(at=NOW - 1, views=(gone(), gone("pg-2"), standby("pg-9"))),) * 2
    assert plan(seen(looks=looks, nodes=("pg-1", "pg-2")), RULES) == hold(
        HoldReason.ISOLATED, "only 0 of 2 servers answer: this controller may be the one that is cut off"
    )
