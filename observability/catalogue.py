"""Every metric there is, derived from the modules that declare some; and the generated table of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import import_module

from observability.metrics import Metric
from observability.probes import PROBES

MODULES = (
    "observability.scrape",
    "observability.probes.cluster",
    "observability.instrumentation.pool.metrics",
    "observability.failover.signals",
)
"""Modules with a `METRICS` of their own, beside the probes."""


def metrics() -> tuple[Metric, ...]:
    """All declared metrics, in the order of their names."""
    found = {metric for probe in PROBES for metric in probe.metrics}
    for module in MODULES:
        found.update(import_module(module).METRICS)
    return tuple(sorted(found, key=lambda metric: metric.name))


def as_markdown(declared: Sequence[Metric]) -> str:
    """The table of the reference: one row for each metric."""
    rows = [
        f"| `{metric.prometheus_name}` | `{metric.name}` | {metric.kind} | {metric.unit or '-'} | "
        f"{', '.join(f'`{label}`' for label in metric.prometheus_labels) or '-'} | {metric.help} |"
        for metric in declared
    ]
    head = ["| Prometheus | OpenTelemetry | kind | unit | labels | meaning |", "|---|---|---|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"


def as_json(declared: Sequence[Metric]) -> str:
    """The same for programs: a list of objects."""
    rows = [
        {
            "prometheus_name": metric.prometheus_name,
            "name": metric.name,
            "kind": metric.kind,
            "unit": metric.unit,
            "labels": list(metric.prometheus_labels),
            "buckets": list(metric.buckets),
            "compat": metric.compat,
            "help": metric.help,
        }
        for metric in declared
    ]
    return json.dumps(rows, indent=2) + "\n"
