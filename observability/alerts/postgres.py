"""PostgreSQL: is there one primary, and could a standby take over without losing more than allowed."""

from __future__ import annotations

from observability.alerts.alert import Alert, Inhibition, Threshold
from observability.alerts.template import number, server_states
from observability.probes.cluster import LAG, PRIMARIES, TARGETS

SERVERS = number(f'max({TARGETS.prometheus_name}{{cluster=%q, system="postgres"}})', "cluster")

# The exporter gives this series also when nobody answers. Where several exporters watch, one that sees a primary is right.
NO_PRIMARY = Alert(
    name="HaPostgresNoPrimary",
    expr=f"max by (cluster) ({PRIMARIES.prometheus_name}) == 0",
    labels=("cluster",),
    severity="page",
    action="failover",
    for_seconds=2,
    keep_firing_seconds=30,
    summary="Cluster {{ $labels.cluster }} has no PostgreSQL primary: writes fail.",
    description=(
        f"{{{{ $value }}}} of {SERVERS} PostgreSQL servers of cluster {{{{ $labels.cluster }}}} answer as primary: "
        f"{server_states('postgres')}."
    ),
    dashboard="ha-overview",
    drill="kill-primary",
)

SPLIT_BRAIN = Alert(
    name="HaPostgresSplitBrain",
    expr=f"max by (cluster) ({PRIMARIES.prometheus_name}) > 1",
    labels=("cluster",),
    severity="page",
    for_seconds=2,
    keep_firing_seconds=300,
    summary="Cluster {{ $labels.cluster }} has more than one PostgreSQL primary: writes diverge and some will be lost.",
    description=(
        f"{{{{ $value }}}} of {SERVERS} PostgreSQL servers of cluster {{{{ $labels.cluster }}}} answer as primary. "
        "Stop the one that clients should not write to before anything else."
    ),
    dashboard="ha-overview",
    drill="promote-standby",
)

# Absent while there is no primary or the standby does not answer: those are alerts of their own.
REPLICATION_LAG = Alert(
    name="HaPostgresReplicationLag",
    expr=f"max by (cluster, server) ({LAG.prometheus_name}) > $lag",
    labels=("cluster", "server"),
    severity="ticket",
    for_seconds=15,
    keep_firing_seconds=60,
    summary="Standby {{ $labels.server }} of cluster {{ $labels.cluster }} is far behind its primary.",
    description=(
        "{{ $labels.server }} is {{ $value | humanizeDuration }} behind the primary of cluster {{ $labels.cluster }}, "
        "more than $lag s: reads from it are that old, and if it had to take over now, it would be late or lose what it "
        "has not received."
    ),
    dashboard="ha-overview",
    drill="pause-replay",
    thresholds=(Threshold("lag", 10, "s"),),
    inhibited_by=(Inhibition(NO_PRIMARY),),
)

ALERTS = (NO_PRIMARY, SPLIT_BRAIN, REPLICATION_LAG)
