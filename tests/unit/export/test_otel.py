"""One name, two roads: what goes by OTLP is what Prometheus scrapes."""

from __future__ import annotations

from hypothesis import given
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from observability.export.otel import metrics_data
from observability.export.prometheus import render
from observability.metrics import Batch, Histogram
from tests.unit.export.made import BATCHES, COUNTER, GAUGE, LEVEL, STATE, WAITS
from tests.unit.export.roads import pushed, scraped

SECOND = 1_000_000_000


def encoded(batches: list[Batch], now: float = 1_700_000_100.0) -> ExportMetricsServiceRequest:
    """What goes over the wire, read back."""
    data = metrics_data(batches, resource=Resource({"service.name": "x"}), scope=InstrumentationScope("y"), now=now)
    request: ExportMetricsServiceRequest = ExportMetricsServiceRequest.FromString(
        encode_metrics(data).SerializeToString()
    )
    return request


def only_metrics(batches: list[Batch]) -> list[metrics_pb2.Metric]:
    """The metrics of the one resource and scope."""
    (resource,) = encoded(batches).resource_metrics
    (scope,) = resource.scope_metrics
    return list(scope.metrics)


@given(BATCHES)
def test_both_roads_tell_the_same(batches: list[Batch]) -> None:
    """Names, kinds, help, labels, values and buckets are equal, whatever stands in them; duplicates keep the first."""
    assert scraped(render(batches)) == pushed(encoded(batches))


def test_whole_metrics() -> None:
    """One sample of each kind, as OTLP has it: name, unit, description, attributes, start and time."""
    batch = Batch(
        (("cluster", "demo"),),
        [
            GAUGE.sample(3.5),
            STATE.sample(1, "app", "ok"),
            COUNTER.sample(7, "sent"),
            LEVEL.sample(2, "x"),
            WAITS.sample(Histogram((1, 0, 2, 0, 0, 1), 7.5), "x"),
        ],
        since=1_700_000_000.0,
    )
    told = [
        (metric.name, metric.unit, metric.description, str(metric.WhichOneof("data")))
        for metric in only_metrics([batch])
    ]
    assert told == [
        ("ha.thing.lag", "s", GAUGE.help, "gauge"),
        ("ha.thing.state", "", STATE.help, "gauge"),
        ("ha.thing.sent", "By", COUNTER.help, "sum"),
        ("ha.thing.used", "{item}", LEVEL.help, "sum"),
        ("ha.thing.wait_time", "s", WAITS.help, "histogram"),
    ]
    lag, state, sent, used, waits = only_metrics([batch])
    (point,) = lag.gauge.data_points
    assert (point.as_double, point.time_unix_nano) == (3.5, 1_700_000_100 * SECOND)
    (point,) = state.gauge.data_points
    attributes = {each.key: each.value.string_value for each in point.attributes}
    assert attributes == {"cluster": "demo", "db.name": "app", "state": "ok"}
    cumulative = metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE
    assert (sent.sum.is_monotonic, sent.sum.aggregation_temporality) == (True, cumulative)
    assert [each.start_time_unix_nano for each in sent.sum.data_points] == [1_700_000_000 * SECOND]
    assert (used.sum.is_monotonic, used.sum.aggregation_temporality) == (False, cumulative)
    (histogram,) = waits.histogram.data_points
    assert list(histogram.bucket_counts) == [1, 0, 2, 0, 0, 1]
    assert (list(histogram.explicit_bounds), histogram.count, histogram.sum) == (list(WAITS.buckets), 4, 7.5)
    assert (histogram.HasField("min"), histogram.HasField("max")) == (False, False)
