"""
Samples as OpenTelemetry sends them: the same values, under their OpenTelemetry names, as OTLP.

The Python SDK has neither an external metric producer nor an observable histogram, so the data that an exporter takes is
built here, from the SDK's public data classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from opentelemetry.sdk.metrics import export
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from observability.metrics import Batch, Histogram, Metric, Value

_CUMULATIVE = export.AggregationTemporality.CUMULATIVE
_NANOSECONDS = 1_000_000_000


def metrics_data(
    batches: Iterable[Batch], *, resource: Resource, scope: InstrumentationScope, now: float
) -> export.MetricsData:
    """
    What an OTLP exporter's `export` takes.

    `now` is the time of the measurement in seconds since the epoch. As on the Prometheus road, the first of several
    samples with the same name and labels is kept.
    """
    points: dict[Metric, dict[tuple[tuple[str, str], ...], export.DataPointT]] = {}
    for batch in batches:
        since = int((batch.since or 0) * _NANOSECONDS)
        for metric, value, labels in batch.samples:
            attributes = (*batch.attributes, *zip(metric.labels, labels, strict=True))
            points.setdefault(metric, {}).setdefault(
                attributes, _point(metric, value, dict(attributes), since, int(now * _NANOSECONDS))
            )
    metrics = [
        export.Metric(
            name=metric.name, description=metric.help, unit=metric.unit, data=_data(metric, list(each.values()))
        )
        for metric, each in points.items()
    ]
    scoped = export.ScopeMetrics(scope=scope, metrics=metrics, schema_url="")
    return export.MetricsData([export.ResourceMetrics(resource=resource, scope_metrics=[scoped], schema_url="")])


def _point(metric: Metric, value: Value, attributes: dict[str, str], since: int, now: int) -> export.DataPointT:
    if isinstance(value, Histogram):
        return export.HistogramDataPoint(
            attributes=attributes,
            start_time_unix_nano=since,
            time_unix_nano=now,
            count=value.count,
            sum=value.sum,
            bucket_counts=list(value.counts),
            explicit_bounds=list(metric.buckets),
            min=None,  # type: ignore[arg-type]  # unknown here, and the encoder leaves None out
            max=None,  # type: ignore[arg-type]
        )
    return export.NumberDataPoint(
        attributes=attributes, start_time_unix_nano=since, time_unix_nano=now, value=float(value)
    )


def _data(metric: Metric, points: Sequence[export.DataPointT]) -> export.DataT:
    if metric.kind == "histogram":
        histograms = [point for point in points if isinstance(point, export.HistogramDataPoint)]
        return export.Histogram(data_points=histograms, aggregation_temporality=_CUMULATIVE)
    numbers = [point for point in points if isinstance(point, export.NumberDataPoint)]
    if metric.kind == "gauge":
        return export.Gauge(data_points=numbers)
    return export.Sum(data_points=numbers, aggregation_temporality=_CUMULATIVE, is_monotonic=metric.kind == "counter")
