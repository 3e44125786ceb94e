"""PromQL of dashboards: selectors that never mix two clusters, and the unit of a metric in Grafana's words."""

from __future__ import annotations

import re

from observability.errors import DeclarationError
from observability.metrics import Metric

RATE_WINDOW = "[$__rate_interval]"

_UNITS = {"s": "s", "By": "bytes", "1": "percentunit", "": "none"}
_RATES = {"By": "Bps", "s": "percentunit", "{request}": "reqps"}


def of_cluster(metric: Metric, suffix: str = "", **labels: str) -> str:
    """The metric's series of the chosen cluster; `labels` are matched exactly."""
    return _selector(metric, suffix, ['cluster="$cluster"'], labels)


def of_servers(metric: Metric, suffix: str = "", **labels: str) -> str:
    """The metric's series of the chosen servers, which are those of the chosen zones."""
    return _selector(metric, suffix, ['cluster="$cluster"', 'server=~"$server"'], labels)


def of_stack(metric: Metric, **labels: str) -> str:
    """The metric's series for what serves all clusters: they carry no cluster."""
    return _selector(metric, "", [], labels)


def each(labels: str, expr: str) -> str:
    """One series for each combination of `labels`; where several exporters saw it, the highest value."""
    return f"max by ({labels}) ({expr})"


def unit(metric: Metric) -> str:
    """What Grafana calls the metric's unit."""
    return _UNITS.get(metric.unit, "short")


def unit_of_rate(metric: Metric) -> str:
    """What Grafana calls the metric's unit per second."""
    return _RATES.get(metric.unit, "cps")


def _selector(metric: Metric, suffix: str, matchers: list[str], labels: dict[str, str]) -> str:
    known = {*metric.prometheus_labels, "server", "zone"}
    if unknown := set(labels).difference(known):
        raise DeclarationError(f"metric {metric.name!r} has no label {unknown.pop()!r}")
    if suffix and not re.fullmatch("_bucket|_sum|_count", suffix):
        raise DeclarationError(f"metric {metric.name!r}: a histogram has no series {suffix!r}")
    inside = ", ".join([*matchers, *(f'{name}="{value}"' for name, value in labels.items())])
    return f"{metric.prometheus_name}{suffix}{{{inside}}}" if inside else metric.prometheus_name + suffix
