"""What is told about the health of this server and of what it depends on."""

from __future__ import annotations

from enum import StrEnum

from observability.metrics import Metric


class State(StrEnum):
    """Whether this server may get traffic, and if not, why."""

    STARTING = "starting"
    READY = "ready"
    NOT_READY = "not_ready"
    DRAINING = "draining"


STATE = Metric(
    name="ha.health.state",
    kind="gauge",
    help="1 for the state that this process is in: starting, ready, not_ready (a critical check fails) or draining.",
    labels=("state",),
    across_workers="sum",
)
SUCCESS = Metric(
    name="ha.health.check.success",
    kind="gauge",
    help="1 if the latest check of this dependency succeeded, 0 if it failed; absent once that is too long ago to tell.",
    labels=("check",),
    across_workers="min",
)
ERROR = Metric(
    name="ha.health.check.error",
    kind="gauge",
    help="1 for the reason why the latest check of this dependency failed; there only while it fails.",
    labels=("check", "reason"),
    across_workers="max",
)
DURATION = Metric(
    name="ha.health.check.duration",
    kind="gauge",
    unit="s",
    help="How long the latest check of this dependency took, or was waited for.",
    labels=("check",),
    across_workers="max",
)
AGE = Metric(
    name="ha.health.check.age",
    kind="gauge",
    unit="s",
    help="How long ago the latest check of this dependency ended.",
    labels=("check",),
    across_workers="max",
)
RUNS = Metric(
    name="ha.health.check.runs",
    kind="counter",
    unit="{check}",
    help="Checks of this dependency.",
    labels=("check",),
)
FAILURES = Metric(
    name="ha.health.check.failures",
    kind="counter",
    unit="{check}",
    help="Checks of this dependency that failed.",
    labels=("check",),
)

METRICS = (STATE, SUCCESS, ERROR, DURATION, AGE, RUNS, FAILURES)
