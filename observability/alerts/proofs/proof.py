"""
What proves an alert without a server: series that must make it fire, with the text it must then show.

From a proof follow the tests for promtool: it fires after its `for` and not before, it stays for `keep_firing_for`, it is
silent while all is well and at each near miss, it does what is said when its series vanish, and of two clusters only the
faulty one is meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from observability.alerts.alert import Alert
from observability.errors import DeclarationError
from observability.metrics import Metric


class Given(NamedTuple):
    """A series and its value while all is well and during the fault; None is no sample. The cluster is added."""

    metric: Metric
    labels: Mapping[str, str]
    healthy: float | None
    faulty: float | None

    def notation(self, cluster: str) -> str:
        """Its name and labels as PromQL writes them."""
        labels = {"cluster": cluster, **self.labels}
        inside = ", ".join(f'{name.replace(".", "_")}="{value}"' for name, value in sorted(labels.items()))
        return f"{self.metric.prometheus_name}{{{inside}}}"


class Scene(NamedTuple):
    """Other series; `name` says what is the matter with them."""

    name: str
    series: tuple[Given, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """
    The proof of one alert.

    Args:
        alert: what is proven.
        series: what Prometheus has of cluster `demo`.
        labels: those of the alert that must fire, `cluster` left out.
        summary: what the alert must say, every template expanded.
        description: likewise.
        other_ways: what must make it fire with the same text, too.
        near_misses: what looks like the fault and must not fire.
        always: it fires while all is well, too.
        fires_on_vanish: it fires when its series vanish, and is not silent about it.

    """

    alert: Alert
    series: tuple[Given, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    summary: str
    description: str
    other_ways: tuple[Scene, ...] = ()
    near_misses: tuple[Scene, ...] = ()
    always: bool = False
    fires_on_vanish: bool = False

    def __post_init__(self) -> None:
        named = {*self.labels, "cluster"} if "cluster" in self.alert.labels else {*self.labels}
        if named != set(self.alert.labels):
            raise DeclarationError(
                f"proof of {self.alert.name}: labels are {sorted(named)}, not {list(self.alert.labels)}"
            )
