"""One scrape, to ask questions of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from prometheus_client.parser import text_string_to_metric_families as parse

from observability.export.prometheus import render
from observability.metrics import Batch, Metric
from observability.scrape import PROBE_ERROR, PROBE_SUCCESS, STATE, UP


@dataclass(frozen=True)
class Page:
    """The series of one scrape by name and labels."""

    series: dict[tuple[str, frozenset[tuple[str, str]]], float]

    @classmethod
    def of(cls, text: str) -> Self:
        """A page as Prometheus reads it."""
        found = [sample for family in parse(text) for sample in family.samples]
        return cls({(each.name, frozenset(each.labels.items())): each.value for each in found})

    @classmethod
    def rendered(cls, batches: Iterable[Batch]) -> Self:
        """What the samples look like to Prometheus."""
        return cls.of(render(batches).decode())

    def having(self, metric: Metric, **labels: str) -> list[tuple[dict[str, str], float]]:
        """Every series of the metric with at least these labels."""
        return [
            (dict(pairs), value)
            for (name, pairs), value in self.series.items()
            if name == metric.prometheus_name and labels.items() <= dict(pairs).items()
        ]

    def value(self, metric: Metric, **labels: str) -> float | None:
        """The one value with at least these labels; None where there is none."""
        found = self.having(metric, **labels)
        assert len(found) < 2, found
        return found[0][1] if found else None

    def state(self, server: str) -> str:
        """The state of a target, whose `up` must agree with it."""
        (current,) = [labels["state"] for labels, value in self.having(STATE, server=server) if value == 1]
        assert self.value(UP, server=server) == float(current == "ok")
        return current

    def errors(self, server: str) -> dict[str, str]:
        """Which probes of a target failed, and why."""
        failing = {labels["probe"]: labels["reason"] for labels, _ in self.having(PROBE_ERROR, server=server)}
        unsuccessful = {labels["probe"] for labels, value in self.having(PROBE_SUCCESS, server=server) if value == 0}
        assert set(failing) == unsuccessful
        return failing

    def of_server(self, server: str) -> set[str]:
        """The names of all series of a target, without those about the look itself."""
        about = ("ha_target_", "ha_probe_")
        return {name for name, pairs in self.series if ("server", server) in pairs and not name.startswith(about)}
