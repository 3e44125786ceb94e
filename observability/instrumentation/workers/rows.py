"""Samples on their way between workers: JSON with their declarations, as two workers may run two versions of the code."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from operator import add
from typing import Any, NamedTuple, TypeAlias

from observability.metrics import WORKER_LABEL, Batch, Histogram, Metric, Sample, Value

Attributes: TypeAlias = tuple[tuple[str, str], ...]
Labels: TypeAlias = tuple[str, ...]

_DECLARED = ("name", "kind", "help", "unit", "labels", "buckets", "compat", "across_workers")


class Row(NamedTuple):
    """A sample with the attributes of its batch."""

    metric: Metric
    attributes: Attributes
    labels: Labels
    value: Value


@lru_cache(maxsize=4_096)
def declaration(metric: Metric) -> str:
    """A metric's declaration as JSON."""
    return json.dumps({name: getattr(metric, name) for name in _DECLARED})


@lru_cache(maxsize=4_096)
def declared(text: str) -> Metric:
    """The metric of a declaration."""
    fields = json.loads(text)
    return Metric(**{**fields, "labels": tuple(fields["labels"]), "buckets": tuple(fields["buckets"])})


def encode(rows: Iterable[Row]) -> dict[str, Any]:
    """Rows as what JSON can hold."""
    metrics: dict[Metric, int] = {}
    written = [
        [metrics.setdefault(metric, len(metrics)), attributes, labels, _plain(value)]
        for metric, attributes, labels, value in rows
    ]
    return {"metrics": [declaration(metric) for metric in metrics], "rows": written}


def decode(document: dict[str, Any]) -> Iterator[Row]:
    """The rows that were encoded."""
    metrics = [declared(text) for text in document["metrics"]]
    for number, attributes, labels, value in document["rows"]:
        yield Row(metrics[number], pairs(attributes), tuple(labels), _value(value))


def pairs(attributes: Iterable[Iterable[str]]) -> Attributes:
    """The attributes of a batch, from JSON."""
    return tuple((name, value) for name, value in attributes)


def _plain(value: Value) -> Any:
    return [*value.counts, value.sum] if isinstance(value, Histogram) else value


def _value(plain: Any) -> Value:
    return Histogram(plain[:-1], plain[-1]) if isinstance(plain, list) else plain


class Together:
    """What several workers tell together, by how each metric is declared to be put together."""

    def __init__(self) -> None:
        self._metrics: dict[str, Metric] = {}
        self._values: dict[tuple[str, Attributes, Labels], Value] = {}

    def add(self, row: Row, worker: int | None = None) -> None:
        """Take in what one worker tells. Where two versions of the code disagree about a metric, the first is right."""
        metric = self._metrics.setdefault(row.metric.prometheus_name, row.metric)
        if metric is not row.metric and not _alike(metric, row.metric):
            return
        attributes = row.attributes
        if metric.across_workers == "each" and worker is not None:
            attributes = (*attributes, (WORKER_LABEL, str(worker)))
        key = (metric.prometheus_name, attributes, row.labels)
        before = self._values.get(key)
        self._values[key] = row.value if before is None else _joined(metric, before, row.value)

    def rows(self) -> Iterator[Row]:
        """Everything that was told."""
        for (name, attributes, labels), value in self._values.items():
            yield Row(self._metrics[name], attributes, labels, value)

    def batches(self, since: float | None) -> list[Batch]:
        """Everything that was told, as a sink takes it."""
        samples: dict[Attributes, list[Sample]] = {}
        for metric, attributes, labels, value in self.rows():
            samples.setdefault(attributes, []).append(Sample(metric, value, labels))
        return [Batch(attributes, each, since) for attributes, each in samples.items()]


def _joined(metric: Metric, one: Value, other: Value) -> Value:
    if isinstance(one, Histogram) and isinstance(other, Histogram):
        return Histogram(list(map(add, one.counts, other.counts)), one.sum + other.sum)
    assert not isinstance(one, Histogram)  # noqa: S101 -- both values are of one metric
    assert not isinstance(other, Histogram)  # noqa: S101
    if metric.across_workers == "max":
        return max(one, other)
    if metric.across_workers == "min":
        return min(one, other)
    return one + other


def _alike(one: Metric, other: Metric) -> bool:
    """Whether values of both can be put together."""
    return (one.kind, one.labels, one.buckets) == (other.kind, other.labels, other.buckets)
