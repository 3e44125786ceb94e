"""Observations for tests: a cluster `demo` whose primary pg-1 is dead and whose standbys pg-2 and pg-3 are fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from observability.errors import Reason
from observability.failover.model import Alert, LastPrimary, Look, NodeView, Observation, Rules

NOW = 1_000_000.0
SYSTEM = "7312345678901234567"
LSN = 0x3000148
RULES = Rules()

ALERT = Alert(
    fingerprint="a1b2c3d4e5f60718",
    name="PostgresNoPrimary",
    cluster="demo",
    action="failover",
    severity="page",
    firing=True,
    starts_at=NOW - 3,
)
LAST = LastPrimary(node="pg-1", system_identifier=SYSTEM, timeline=1, lsn=LSN, seen_at=NOW - 5, missed_at=NOW - 4)


def gone(node: str = "pg-1", reason: Reason = Reason.REFUSED) -> NodeView:
    """A server that does not answer."""
    return NodeView(node=node, at=NOW - 1, seconds=0.001, reason=reason)


def standby(node: str = "pg-2", **changes: Any) -> NodeView:
    """A standby that has everything and hears nothing."""
    view = NodeView(
        node=node,
        at=NOW - 1,
        seconds=0.004,
        reason=Reason.OK,
        in_recovery=True,
        system_identifier=SYSTEM,
        timeline=1,
        received_lsn=LSN,
        replayed_lsn=LSN,
        replay_paused=False,
        receiving=False,
    )
    return replace(view, **changes)


def primary(node: str = "pg-1", **changes: Any) -> NodeView:
    """A primary that answers."""
    view = NodeView(
        node=node,
        at=NOW - 1,
        seconds=0.004,
        reason=Reason.OK,
        in_recovery=False,
        system_identifier=SYSTEM,
        timeline=1,
        current_lsn=LSN,
    )
    return replace(view, **changes)


def seen(*views: NodeView, first: tuple[NodeView, ...] | None = None, **changes: Any) -> Observation:
    """Two looks with the same views (or another first one), of all the servers in them."""
    views = views or (gone(), standby(), standby("pg-3"))
    looks = (Look(at=NOW - 1.5, views=views if first is None else first), Look(at=NOW - 1, views=views))
    observation = Observation(
        cluster="demo",
        at=NOW,
        alert=ALERT,
        nodes=tuple(dict.fromkeys(view.node for view in views)),
        looks=looks,
        last_primary=LAST,
    )
    return replace(observation, **changes)
