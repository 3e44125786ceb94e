"""Both roads in one form: what Prometheus reads from a page, and what a backend makes of an OTLP request."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from typing import Any, NamedTuple

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1 import metrics_pb2
from prometheus_client.parser import text_string_to_metric_families as parse

from observability.metrics import Kind, prometheus_name

Labels = tuple[tuple[str, str], ...]


class Point(NamedTuple):
    """One number as both roads tell it; the value is written out, since NaN equals nothing."""

    name: str
    kind: str
    help: str
    labels: Labels
    value: str


def scraped(page: bytes) -> set[Point]:
    """The points of a page in the text format."""
    return {
        Point(sample.name, family.type, family.documentation, _pairs(sample.labels), repr(float(sample.value)))
        for family in parse(page.decode())
        for sample in family.samples
    }


def pushed(request: ExportMetricsServiceRequest) -> set[Point]:
    """The points of an OTLP request, under the names that the standard translation gives them."""
    metrics = [
        metric for resource in request.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics
    ]
    return {point for metric in metrics for point in _points(metric)}


def _points(metric: metrics_pb2.Metric) -> Iterable[Point]:
    data = getattr(metric, str(metric.WhichOneof("data")))
    instrument = _instrument(metric)
    name = prometheus_name(metric.name, metric.unit, instrument)
    kind = "gauge" if instrument == "updowncounter" else instrument
    for point in data.data_points:
        labels = {each.key.replace(".", "_"): each.value.string_value for each in point.attributes}
        for suffix, value, more in _numbers(point):
            yield Point(f"{name}{suffix}", kind, metric.description, _pairs(labels | more), repr(float(value)))


def _numbers(point: Any) -> list[tuple[str, float, dict[str, str]]]:
    if not isinstance(point, metrics_pb2.HistogramDataPoint):
        return [("", point.as_double, {})]
    bounds = [*point.explicit_bounds, float("inf")]
    buckets = zip(bounds, accumulate(point.bucket_counts), strict=True)
    return [
        *(("_bucket", count, {"le": repr(bound)}) for bound, count in buckets),
        ("_count", point.count, {}),
        ("_sum", point.sum, {}),
    ]


def _instrument(metric: metrics_pb2.Metric) -> Kind:
    data = metric.WhichOneof("data")
    if data == "sum":
        return "counter" if metric.sum.is_monotonic else "updowncounter"
    return "histogram" if data == "histogram" else "gauge"


def _pairs(labels: dict[str, str]) -> Labels:
    """Labels in order, with the bounds of buckets in one spelling and empty labels left out, as Prometheus does."""
    same = {name: repr(float(value)) if name == "le" else value for name, value in labels.items()}
    return tuple(sorted((name, value) for name, value in same.items() if value))
