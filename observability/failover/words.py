"""Decisions and observations in words, for the log, the command line and the page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from observability.failover.journal import Entry, Incident, Kind
from observability.failover.model import (
    Hold,
    LastPrimary,
    NodeView,
    Observation,
    Plan,
    Promote,
    Sight,
    Step,
    StepKind,
    lsn_text,
)

_STEPS = {
    StepKind.FENCE: "fence {} and verify that it takes no writes",
    StepKind.PROMOTE: "promote {}",
    StepKind.FOLLOW: "let {} follow the new primary",
    StepKind.VERIFY: "verify that {} takes writes",
}


def decision(plan: Plan) -> str:
    """One sentence: what would be done, or why nothing is."""
    if isinstance(plan, Hold):
        return f"hold ({plan.reason}): {plan.detail}"
    return (
        f"would promote {plan.candidate} in place of {plan.replaces}: it lacks {plan.behind_bytes} bytes of what was seen; "
        f"what {plan.replaces} wrote in its last {plan.unwatched_seconds:.1f} s was seen by nobody"
    )


def step(todo: Step) -> str:
    """What a step does."""
    return _STEPS[todo.kind].format(todo.node)


def view(seen: NodeView) -> str:
    """One reading of one server."""
    took = f"after {seen.seconds * 1000:.0f} ms"
    if seen.sight is Sight.GONE:
        return f"{seen.node}: no answer ({seen.reason}) {took}"
    if seen.sight is Sight.UNCLEAR:
        return f"{seen.node}: role unknown ({seen.reason}) {took}"
    facts = [f"timeline {_known(seen.timeline)}"]
    if seen.sight is Sight.PRIMARY:
        facts.append(f"at {_position(seen.current_lsn)}")
    else:
        facts.append(f"received {_position(seen.received_lsn)}, replayed {_position(seen.replayed_lsn)}")
        facts.append(_receiver(seen))
        facts += ["replay paused"] * (seen.replay_paused is True)
    return f"{seen.node}: {seen.sight} {took}; {'; '.join(facts)}"


def memory(last: LastPrimary | None, *, now: float) -> str:
    """What the watch knew of the primary."""
    if last is None:
        return "last primary: never seen"
    missed = "" if last.missed_at is None else f", missed for {now - last.missed_at:.1f} s"
    return (
        f"last primary: {last.node}, timeline {last.timeline}, at {lsn_text(last.lsn)}, "
        f"seen {now - last.seen_at:.1f} s ago{missed}"
    )


def observation(seen: Observation) -> Iterator[str]:
    """What a decision was made from, line by line."""
    yield memory(seen.last_primary, now=seen.at)
    for number, look in enumerate(seen.looks, start=1):
        yield f"look {number}, {seen.at - look.at:.1f} s before the decision:"
        for each in look.views:
            yield f"  {view(each)}"


def timeline(incident: Incident, entries: Iterable[Entry]) -> Iterator[str]:
    """An incident from its alert to its end: each decision with all that it was made from."""
    alert = incident.alert
    yield f"incident {incident.id}: {alert.name}, cluster {alert.cluster or '(none)'}, {incident.state}"
    yield f"alert fires since {moment(alert.starts_at)}, fingerprint {alert.fingerprint}"
    for entry in entries:
        yield ""
        yield f"{moment(entry.at)}  {entry.kind}"
        if entry.kind in {Kind.OPENED, Kind.RESOLVED}:
            yield from (f"  {name}={value!r}" for name, value in (alert.labels if entry.kind is Kind.OPENED else ()))
        elif entry.kind is Kind.OBSERVATION:
            yield from (f"  {line}" for line in observation(entry.observation))
        elif entry.kind is Kind.DECISION:
            made = entry.decision
            yield f"  {decision(made)}"
            if isinstance(made, Promote):
                yield from (f"  {number}. {step(todo)}" for number, todo in enumerate(made.steps, start=1))


def as_json(incident: Incident) -> dict[str, Any]:
    """An incident for programs."""
    return {
        "id": incident.id,
        "state": incident.state,
        "opened_at": incident.opened_at,
        "cluster": incident.alert.cluster,
        "alert": incident.alert.name,
        "decision": asdict(incident.decision) if incident.decision else None,
        "summary": decision(incident.decision) if incident.decision else None,
    }


def moment(at: float) -> str:
    """A time that everybody reads alike."""
    return datetime.fromtimestamp(at, UTC).isoformat(sep=" ", timespec="milliseconds").replace("+00:00", "Z")


def _receiver(seen: NodeView) -> str:
    if seen.receiving is None:
        return "receiver unknown"
    if not seen.receiving:
        return "receives from nobody"
    heard = "at an unknown time" if seen.heard_seconds is None else f"{seen.heard_seconds:.1f} s ago"
    return f"connected to its sender, heard {heard}"


def _known(value: int | None) -> str:
    return "unknown" if value is None else str(value)


def _position(lsn: int | None) -> str:
    return "unknown" if lsn is None else lsn_text(lsn)
