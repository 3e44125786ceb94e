"""
The values of the failover controller: what it was told, what it saw, what it decided.

All are frozen and know no clock: times are seconds since the epoch, read once and passed in. Unknown is None.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

from observability.errors import Reason


class Mode(StrEnum):
    """How far the controller may go."""

    OFF = "off"
    OBSERVE = "observe"


class Sight(StrEnum):
    """What one reading of a server says about it."""

    PRIMARY = "primary"
    STANDBY = "standby"
    GONE = "gone"
    UNCLEAR = "unclear"


class HoldReason(StrEnum):
    """Why nothing is promoted, in the order of asking: a short fixed list, so that it can be a label."""

    NOT_FIRING = "not_firing"
    UNKNOWN_ACTION = "unknown_action"
    UNKNOWN_CLUSTER = "unknown_cluster"
    STALE_ALERT = "stale_alert"
    SPLIT_BRAIN = "split_brain"
    PRIMARY_SEEN = "primary_seen"
    NOT_CONFIRMED = "not_confirmed"
    ISOLATED = "isolated"
    ROLE_UNKNOWN = "role_unknown"
    STANDBY_STREAMING = "standby_streaming"
    PRIMARY_UNKNOWN = "primary_unknown"
    UNWATCHED = "unwatched"
    NO_STANDBY = "no_standby"
    DIFFERENT_SYSTEM = "different_system"
    TIMELINE = "timeline"
    REPLAY_PAUSED = "replay_paused"
    LSN_UNKNOWN = "lsn_unknown"
    RPO = "rpo"
    COOLDOWN = "cooldown"


class StepKind(StrEnum):
    """What a step of a plan does to its node."""

    FENCE = "fence"
    PROMOTE = "promote"
    FOLLOW = "follow"
    VERIFY = "verify"


FAILOVER = "failover"
"""The value of the label `ha_action` that asks for a failover; any other asks for nothing that we know."""

GONE = frozenset({Reason.REFUSED, Reason.UNREACHABLE, Reason.HUNG, Reason.CLOSED})
"""
Failures that a dead or frozen server gives. All others are either a sign of life (wrong password, too many
connections, starting) or our own trouble (DNS, a bug): they tell nothing about the server's role.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert of a webhook. `fingerprint` and `starts_at` together name the incident."""

    fingerprint: str
    name: str
    cluster: str
    action: str
    severity: str
    firing: bool
    starts_at: float
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()

    @property
    def is_watchdog(self) -> bool:
        """The alert that always fires and proves the way from Prometheus to here."""
        return self.name == "Watchdog" or self.action == "watchdog"

    @property
    def asks_nothing(self) -> bool:
        """It was routed here, but no action is asked for."""
        return self.action in {"", "none"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """
    One vantage point's reading of one PostgreSQL server, over a connection made for it.

    LSNs are positions in bytes. `receiving` says whether a WAL receiver is connected to somebody; `heard_seconds` is
    the age of the last message that it got, which on an idle primary may be old.
    """

    node: str
    at: float
    seconds: float
    reason: Reason
    detail: str = ""
    vantage: str = "controller"
    in_recovery: bool | None = None
    system_identifier: str | None = None
    timeline: int | None = None
    current_lsn: int | None = None
    received_lsn: int | None = None
    replayed_lsn: int | None = None
    replay_paused: bool | None = None
    receiving: bool | None = None
    heard_seconds: float | None = None
    synchronous: tuple[str, ...] = ()

    @property
    def sight(self) -> Sight:
        """The role if the server told it, gone if nothing answered, unclear otherwise."""
        if self.reason in GONE:
            return Sight.GONE
        if self.reason is not Reason.OK or self.in_recovery is None:
            return Sight.UNCLEAR
        return Sight.STANDBY if self.in_recovery else Sight.PRIMARY


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """All servers of a cluster, read side by side; `at` is when it began."""

    at: float
    views: tuple[NodeView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LastPrimary:
    """
    What the watch remembers of the primary: without it nobody knows how much a standby lacks.

    `missed_at` is when a reading first failed after `seen_at`: what was written between the two was seen by nobody.
    `changed_at` is when the watch saw it take over from another server or timeline, None if it never did.
    """

    node: str
    system_identifier: str
    timeline: int
    lsn: int
    seen_at: float
    missed_at: float | None = None
    changed_at: float | None = None
    synchronous: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """All that a decision is made from, with the time in it."""

    cluster: str
    at: float
    alert: Alert
    nodes: tuple[str, ...]
    looks: tuple[Look, ...] = ()
    last_primary: LastPrimary | None = None

    @property
    def views(self) -> tuple[NodeView, ...]:
        """Every reading of every look."""
        return tuple(view for look in self.looks for view in look.views)

    @property
    def latest(self) -> tuple[NodeView, ...]:
        """The readings of the last look."""
        return self.looks[-1].views if self.looks else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """
    The thresholds of the policy.

    Args:
        max_lag_bytes: the most that a promoted standby may lack of what the primary was last seen to have written (the
            RPO); 0 admits only a standby that was synchronous.
        max_unwatched_seconds: the longest time before its loss in which nobody read the primary's position.
        confirm_looks: how many looks must agree that there is no primary.
        confirm_interval_seconds: pause between two looks.
        look_timeout_seconds: what a server may take for one reading, connecting included.
        standby_silence_seconds: how long a standby that is still connected must have heard nothing. Longer than the
            pause between two writes on the quietest primary, or a partition of the controller looks like a freeze.
        alert_max_age_seconds: an alert that began earlier is for a person to judge.
        clock_skew_seconds: how far in the future an alert may begin.
        cooldown_seconds: no second failover of a cluster within this time.
        watch_interval_seconds: pause between two readings of the primary's position.

    """

    max_lag_bytes: int = 1024 * 1024
    max_unwatched_seconds: float = 5.0
    confirm_looks: int = 2
    confirm_interval_seconds: float = 0.2
    look_timeout_seconds: float = 1.0
    standby_silence_seconds: float = 5.0
    alert_max_age_seconds: float = 600.0
    clock_skew_seconds: float = 30.0
    cooldown_seconds: float = 3600.0
    watch_interval_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a plan does to one server."""

    kind: StepKind
    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Promote:
    """
    The intent to make `candidate` the primary in place of `replaces`.

    `behind_bytes` is what the candidate lacks of what was seen; what the primary wrote in the `unwatched_seconds`
    before its loss comes on top and nobody knows it.
    """

    candidate: str
    replaces: str
    timeline: int
    received_lsn: int
    behind_bytes: int
    unwatched_seconds: float
    steps: tuple[Step, ...]
    outcome: Literal["promote"] = "promote"


@dataclass(frozen=True, slots=True)
class Hold:
    """The decision to leave everything as it is, and why."""

    reason: HoldReason
    detail: str
    outcome: Literal["hold"] = "hold"


Plan: TypeAlias = Promote | Hold


def lsn_text(lsn: int) -> str:
    """A position as PostgreSQL writes it: `0/3000148`."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
