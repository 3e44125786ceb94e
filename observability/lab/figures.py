"""The latest figures of the lab, from Prometheus, or straight from the exporter and the servers where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import httpx
from prometheus_client.parser import text_string_to_metric_families

from observability.lab.applications import SERVERS
from observability.lab.prometheus import Prometheus, Series
from observability.lab.ready import http_client
from observability.lab.site import CLUSTER
from observability.lab.stack import Stack


class Figures(Protocol):
    """Where the latest series of a metric come from."""

    def query(self, expression: str) -> list[Series]:
        """The series of a metric, by its name."""
        ...


class Scraped:
    """What the exporter and the servers tell when asked directly; it knows plain metric names only."""

    def __init__(self, stack: Stack) -> None:
        self._series: dict[str, list[Series]] = {}
        ports = stack.site.ports
        self._read(ports["exporter"], {})
        for name in SERVERS:
            self._read(ports[name], {"cluster": CLUSTER, "server": name})

    def query(self, expression: str) -> list[Series]:
        """The series of a metric, by its name."""
        return self._series.get(expression, [])

    def _read(self, port: int, labels: dict[str, str]) -> None:
        for series in _scrape(port, labels):
            self._series.setdefault(series.labels["__name__"], []).append(series)


def _scrape(port: int, labels: dict[str, str]) -> Iterator[Series]:
    try:
        with http_client(port) as client:
            response = client.get("/metrics", follow_redirects=True)
    except httpx.HTTPError:
        return  # what does not answer has no figures
    for family in text_string_to_metric_families(response.text):
        for sample in family.samples:
            yield Series({"__name__": sample.name, **sample.labels, **labels}, sample.value)


def prometheus_of(stack: Stack) -> Prometheus:
    """A client for the lab's Prometheus."""
    return Prometheus(stack.site.ports["prometheus"])
