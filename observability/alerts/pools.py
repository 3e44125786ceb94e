"""Connection pools of the servers: do requests get a connection."""

from __future__ import annotations

from observability.alerts.alert import Alert, Inhibition, Threshold
from observability.alerts.postgres import NO_PRIMARY
from observability.instrumentation.pool.metrics import COUNT, MAX, OPENING, PENDING

POOL, STATE = COUNT.prometheus_labels


def taken(used: str, opening: str, most: str) -> str:
    """The taken share of each pool's places, overflow and connections that are still being opened included."""
    return f"({used} + ignoring ({STATE}) {opening}) / ignoring ({STATE}) {most}"


_TAKEN = taken(f'{COUNT.prometheus_name}{{{STATE}="used"}}', OPENING.prometheus_name, MAX.prometheus_name)

# A full pool in which nobody waits is a well-sized one. Several processes of a server have a pool each: the worst counts.
EXHAUSTED = Alert(
    name="HaPoolExhausted",
    expr=(
        f"max by (cluster, {POOL}, server) ({_TAKEN}) >= $taken\n"
        f"  and max by (cluster, {POOL}, server) ({PENDING.prometheus_name}) > 0"
    ),
    labels=("cluster", POOL, "server"),
    severity="page",
    for_seconds=10,
    keep_firing_seconds=60,
    summary=f"Requests on {{{{ $labels.server }}}} of cluster {{{{ $labels.cluster }}}} wait for pool {{{{ $labels.{POOL} }}}}.",
    description=(
        f"{{{{ $value | humanizePercentage }}}} of the places in pool {{{{ $labels.{POOL} }}}} of {{{{ $labels.server }}}} "
        "are taken and requests wait for one. Those that wait longer than the pool's timeout fail."
    ),
    dashboard="ha-overview",
    drill="exhaust-pool",
    thresholds=(Threshold("taken", 1, "1"),),
    inhibited_by=(Inhibition(NO_PRIMARY),),
)

ALERTS = (EXHAUSTED,)
