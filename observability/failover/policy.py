"""
Whether to promote, and whom: a pure function of what was seen.

Gates are asked in order, and the first that does not open gives the reason. Unknown opens no gate. A primary that is
seen by anybody, in any look, in any way, closes them all. Comparisons are written so that NaN opens no gate either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from observability.failover.model import (
    FAILOVER,
    Hold,
    HoldReason,
    LastPrimary,
    NodeView,
    Observation,
    Plan,
    Promote,
    Rules,
    Sight,
    Step,
    StepKind,
    lsn_text,
)

ABOUT_THE_ALERT = frozenset(
    {HoldReason.NOT_FIRING, HoldReason.STALE_ALERT, HoldReason.UNKNOWN_ACTION, HoldReason.UNKNOWN_CLUSTER}
)
"""Reasons that no look can change: an alert held for one of them is not even a reason to look."""


def plan(seen: Observation, rules: Rules) -> Plan:
    """What is right to do about `seen`; each gate stands below, in the order of asking."""
    for gate in _GATES:
        if hold := gate(seen, rules):
            return hold
    primary = seen.last_primary
    if primary is None or primary.node not in seen.nodes:
        return Hold(
            HoldReason.PRIMARY_UNKNOWN,
            "the primary was never seen while it lived, so nobody knows how much a standby lacks",
        )
    return _promote(seen, primary, rules)


def _alert_asks(seen: Observation, rules: Rules) -> Hold | None:
    alert = seen.alert
    if not alert.firing:
        return Hold(HoldReason.NOT_FIRING, f"{alert.name} is resolved")
    if alert.action != FAILOVER:
        return Hold(HoldReason.UNKNOWN_ACTION, f"ha_action={alert.action!r} is not an action of this controller")
    if not seen.nodes:
        return Hold(HoldReason.UNKNOWN_CLUSTER, f"no PostgreSQL target is configured for cluster {seen.cluster!r}")
    age = seen.at - alert.starts_at
    if age < -rules.clock_skew_seconds:
        return Hold(HoldReason.STALE_ALERT, f"it begins {-age:.0f} s in the future: the clocks disagree")
    if not age <= rules.alert_max_age_seconds:
        return Hold(
            HoldReason.STALE_ALERT,
            f"it began {age:.0f} s ago, the limit is {rules.alert_max_age_seconds:g} s: a person should judge",
        )
    return None


def _no_primary_seen(seen: Observation, _: Rules) -> Hold | None:
    primaries = sorted({view.node for view in seen.views if view.sight is Sight.PRIMARY})
    if len(primaries) > 1:
        return Hold(HoldReason.SPLIT_BRAIN, f"{_names(primaries)} all answer as primary")
    if primaries:
        return Hold(HoldReason.PRIMARY_SEEN, f"{primaries[0]} answers as primary")
    remembered = seen.last_primary
    if remembered and seen.looks and remembered.seen_at >= seen.looks[0].at:
        return Hold(
            HoldReason.PRIMARY_SEEN,
            f"a kept session to {remembered.node} still answers as primary, though new ones do not",
        )
    return None


def _confirmed(seen: Observation, rules: Rules) -> Hold | None:
    if len(seen.looks) < rules.confirm_looks or not seen.looks:
        return Hold(HoldReason.NOT_CONFIRMED, f"{len(seen.looks)} of {rules.confirm_looks} looks were taken")
    for look in seen.looks:
        if missing := set(seen.nodes) - {view.node for view in look.views}:
            return Hold(HoldReason.NOT_CONFIRMED, f"nobody looked at {_names(sorted(missing))}")
    return None


def _not_isolated(seen: Observation, _: Rules) -> Hold | None:
    answering = {view.node for view in seen.latest if view.sight is Sight.STANDBY}.intersection(seen.nodes)
    if len(answering) * 2 < len(seen.nodes):
        return Hold(
            HoldReason.ISOLATED,
            f"only {len(answering)} of {len(seen.nodes)} servers answer: this controller may be the one that is cut off",
        )
    return None


def _roles_clear(seen: Observation, _: Rules) -> Hold | None:
    unclear = {view.node: view for view in seen.views if view.sight is Sight.UNCLEAR}
    if unclear:
        why = "; ".join(f"{node}: {view.reason}" for node, view in sorted(unclear.items()))
        return Hold(HoldReason.ROLE_UNKNOWN, f"it cannot be told whether one of these is a primary ({why})")
    return None


def _standbys_hear_nothing(seen: Observation, rules: Rules) -> Hold | None:
    """The standbys' own view: one that gets WAL proves that somebody sends it, whatever we fail to reach."""
    for view in sorted(_standbys(seen), key=lambda view: view.node):
        if view.receiving is None or (view.receiving and view.heard_seconds is None):
            return Hold(
                HoldReason.STANDBY_STREAMING,
                f"it cannot be told whether {view.node} still hears from the primary (is our role in pg_monitor?)",
            )
        if view.heard_seconds is not None and not view.heard_seconds >= rules.standby_silence_seconds:
            return Hold(
                HoldReason.STANDBY_STREAMING,
                f"{view.node} heard from its primary {view.heard_seconds:.1f} s ago",
            )
    return None


_GATES: tuple[Callable[[Observation, Rules], Hold | None], ...] = (
    _alert_asks,
    _no_primary_seen,
    _confirmed,
    _not_isolated,
    _roles_clear,
    _standbys_hear_nothing,
)


def _promote(seen: Observation, primary: LastPrimary, rules: Rules) -> Plan:
    unwatched = (seen.looks[0].at if primary.missed_at is None else primary.missed_at) - primary.seen_at
    if not 0 <= unwatched <= rules.max_unwatched_seconds:
        return Hold(
            HoldReason.UNWATCHED,
            f"nobody read the position of {primary.node} for {unwatched:.1f} s before it was lost, "
            f"the limit is {rules.max_unwatched_seconds:g} s",
        )
    fit = _fit(_standbys(seen), primary, rules)
    if isinstance(fit, Hold):
        return fit
    if primary.changed_at is not None and not seen.at - primary.changed_at >= rules.cooldown_seconds:
        return Hold(
            HoldReason.COOLDOWN,
            f"the primary changed {seen.at - primary.changed_at:.0f} s ago, "
            f"the cooldown is {rules.cooldown_seconds:g} s",
        )
    lsn, candidate = min(fit, key=lambda pair: (-pair[0], pair[1].node))
    return Promote(
        candidate=candidate.node,
        replaces=primary.node,
        timeline=primary.timeline,
        received_lsn=lsn,
        behind_bytes=max(0, primary.lsn - lsn),
        unwatched_seconds=unwatched,
        steps=_steps(candidate.node, primary.node, sorted(view.node for view in _standbys(seen))),
    )


def _fit(standbys: list[NodeView], primary: LastPrimary, rules: Rules) -> list[tuple[int, NodeView]] | Hold:
    """The standbys that may be promoted, each with its received position; or the gate at which the last one fell."""
    if not standbys:
        return Hold(HoldReason.NO_STANDBY, "no standby answers")
    if strange := [view.node for view in standbys if view.system_identifier != primary.system_identifier]:
        return Hold(
            HoldReason.DIFFERENT_SYSTEM,
            f"{_names(strange)}: not known to be a copy of {primary.node} (system identifier {primary.system_identifier})",
        )
    # A newer timeline says that somebody was promoted behind our back: then not even the others may be.
    if any(view.timeline is None or view.timeline > primary.timeline for view in standbys) or not (
        standbys := [view for view in standbys if view.timeline == primary.timeline]
    ):
        return Hold(HoldReason.TIMELINE, f"not every standby is known to follow timeline {primary.timeline}")
    running = [view for view in standbys if view.replay_paused is False]
    if not running:
        return Hold(
            HoldReason.REPLAY_PAUSED, f"replay is paused, or may be, on {_names(view.node for view in standbys)}"
        )
    known = [(view.received_lsn, view) for view in running if view.received_lsn is not None]
    if not known:
        return Hold(HoldReason.LSN_UNKNOWN, f"{_names(view.node for view in running)}: received position unknown")
    return _within_rpo(known, primary, rules)


def _within_rpo(
    known: list[tuple[int, NodeView]], primary: LastPrimary, rules: Rules
) -> list[tuple[int, NodeView]] | Hold:
    best = max(lsn for lsn, _ in known)
    near = [(lsn, view) for lsn, view in known if primary.lsn - lsn <= rules.max_lag_bytes]
    if not near:
        return Hold(
            HoldReason.RPO,
            f"the best standby lacks {primary.lsn - best} bytes of {lsn_text(primary.lsn)}, "
            f"the limit is {rules.max_lag_bytes}",
        )
    if rules.max_lag_bytes == 0 and not (near := [pair for pair in near if pair[1].node in primary.synchronous]):
        return Hold(
            HoldReason.RPO, "no write may be lost, and no standby was synchronous when the primary was last seen"
        )
    return near


def _steps(candidate: str, replaced: str, standbys: list[str]) -> tuple[Step, ...]:
    fence = () if candidate == replaced else (Step(StepKind.FENCE, replaced),)
    follow = tuple(Step(StepKind.FOLLOW, node) for node in standbys if node not in {candidate, replaced})
    return (*fence, Step(StepKind.PROMOTE, candidate), *follow, Step(StepKind.VERIFY, candidate))


def _standbys(seen: Observation) -> list[NodeView]:
    return [view for view in seen.latest if view.sight is Sight.STANDBY and view.node in seen.nodes]


def _names(nodes: Iterable[str]) -> str:
    return ", ".join(nodes)
