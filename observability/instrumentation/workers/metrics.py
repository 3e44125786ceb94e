"""What is told about the workers of a server."""

from __future__ import annotations

from observability.metrics import Metric

UP = Metric(
    name="ha.worker.up",
    kind="gauge",
    help="Whether each living worker answered in this scrape; 0 for one that hangs, absent for one that has ended.",
)
STARTS = Metric(
    name="ha.worker.starts",
    kind="counter",
    unit="{worker}",
    help="Workers that were started since the server was, those included that have ended.",
)
METRICS = (UP, STARTS)
