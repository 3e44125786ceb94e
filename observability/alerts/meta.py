"""The alerting itself: is somebody watching, and does an alert arrive."""

from __future__ import annotations

from observability.alerts.alert import Alert, Inhibition
from observability.failover.signals import ERRORS as CONTROLLED
from observability.probes.cluster import TARGETS

WATCHDOG = Alert(
    name="HaWatchdog",
    expr="vector(1)",
    labels=(),
    severity="none",
    action="watchdog",
    summary="Alerts arrive.",
    description="This alert always fires. The controller counts on it: when it stays away, the path of alerts is broken.",
    dashboard="ha-overview",
    drill="",
)

# No rule about the stack can fire for what nobody measures, so a cluster that vanishes is itself a reason to wake somebody.
# The controller knows clusters from its own configuration; where there is none, the last hour must do, which is what a
# rule can look back over at each evaluation without being felt.
EXPORTER_DOWN = Alert(
    name="HaExporterDown",
    expr=(
        f"(\n"
        f"  group by (cluster) (last_over_time({TARGETS.prometheus_name}[1h]))\n"
        f'  or group by (cluster) ({CONTROLLED.prometheus_name}{{cluster!=""}})\n'
        f") unless on (cluster) group by (cluster) ({TARGETS.prometheus_name})"
    ),
    labels=("cluster",),
    severity="page",
    for_seconds=15,
    summary="Nobody watches cluster {{ $labels.cluster }} any more: its exporter gives no metrics.",
    description=(
        "Prometheus has no series of the exporter of cluster {{ $labels.cluster }}. "
        "Until they are back no other alert about it can fire, whatever happens there."
    ),
    dashboard="ha-overview",
    drill="kill-exporter",
)

NOTHING_WATCHED = Alert(
    name="HaNothingWatched",
    expr=f"absent({TARGETS.prometheus_name})",
    labels=(),
    severity="page",
    for_seconds=60,
    summary="No exporter is seen at all: nothing is watched.",
    description="Prometheus has no series of any exporter, so no alert about any cluster can fire, whatever happens there.",
    dashboard="ha-overview",
    drill="kill-exporter",
    inhibited_by=(Inhibition(EXPORTER_DOWN),),
)

ALERTS = (WATCHDOG, EXPORTER_DOWN, NOTHING_WATCHED)
