"""What the exporter looks at: does every target answer."""

from __future__ import annotations

from observability.alerts.alert import Alert, Inhibition
from observability.alerts.postgres import NO_PRIMARY
from observability.alerts.template import state_of_server
from observability.scrape import UP

# Where several exporters watch a target, one that gets its answer is right.
TARGET_DOWN = Alert(
    name="HaTargetDown",
    expr=f"max by (cluster, server, system) ({UP.prometheus_name}) == 0",
    labels=("cluster", "server", "system"),
    severity="ticket",
    for_seconds=10,
    keep_firing_seconds=30,
    summary="{{ $labels.server }} ({{ $labels.system }}) of cluster {{ $labels.cluster }} does not answer as it should.",
    description=(
        f"{{{{ $labels.server }}}} ({{{{ $labels.system }}}}) of cluster {{{{ $labels.cluster }}}} does not answer as it should; reason: "
        f"{state_of_server()}. Redundancy is lost until it is back; its other series are absent meanwhile."
    ),
    dashboard="ha-overview",
    drill="kill-primary",
    # Without a primary its server is down, of course, and so may be what needs it.
    inhibited_by=(Inhibition(NO_PRIMARY, ('system=~"postgres|http"',)),),
)

ALERTS = (TARGET_DOWN,)
