"""The text that Prometheus reads is the one that prometheus_client writes, and its parsers read it back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse
from prometheus_client.utils import floatToGoString

from observability.export.prometheus import SampleCollector, number, render
from observability.metrics import Batch, Histogram, Metric
from tests.unit.export.made import BATCHES, COUNTER, EVENTS, GAUGE, LEVEL, METRICS, NUMBER, SHARE, STATE, WAITS


def registry(batches: Sequence[Batch]) -> CollectorRegistry:
    """A registry of prometheus_client that has these samples."""
    made = CollectorRegistry()
    made.register(SampleCollector(lambda: batches, METRICS))
    return made


def once(batches: Sequence[Batch]) -> list[tuple[str, dict[str, str], float]]:
    """Name, labels and value of every number, the first of each series."""
    found: dict[tuple[object, ...], tuple[str, dict[str, str], float]] = {}
    for attributes, samples, _ in batches:
        for metric, value, labels in samples:
            pairs = dict(sorted((*attributes, *zip(metric.prometheus_labels, labels, strict=True))))
            if not isinstance(value, Histogram):
                found.setdefault((metric, *pairs.items()), (metric.prometheus_name, pairs, value))
    return list(found.values())


@given(BATCHES)
def test_text_equals_prometheus_clients(batches: list[Batch]) -> None:
    """The fast writer and prometheus_client write the same page, byte for byte."""
    assert generate_latest(registry(batches)) == render(batches)


@given(BATCHES)
def test_openmetrics_equals_prometheus_clients(batches: list[Batch]) -> None:
    """The same for the OpenMetrics format."""
    theirs = generate_openmetrics(registry(batches))  # type: ignore[no-untyped-call]  # prometheus_client leaves it untyped
    assert theirs == render(batches, openmetrics=True)


@given(BATCHES)
def test_parsers_read_back_what_was_written(batches: list[Batch]) -> None:
    """Names, labels and values survive, whatever stands in them, with each series once."""
    families = parse(render(batches).decode())
    read = [(sample.name, sample.labels, sample.value) for family in families for sample in family.samples]
    numbers = [each for each in read if not each[0].startswith(WAITS.prometheus_name)]
    key = repr  # NaN equals nothing, not even itself; written out it does
    assert sorted(map(key, once(batches))) == sorted(map(key, numbers))


@given(BATCHES.map(lambda batches: [batch for batch in batches if _is_valid(batch)]))
def test_strict_parser_accepts_openmetrics(batches: list[Batch]) -> None:
    """prometheus_client's strict OpenMetrics parser finds nothing wrong."""
    page = render(batches, openmetrics=True).decode()
    list(parse_openmetrics(page))  # type: ignore[no-untyped-call]  # see above


def _is_valid(batch: Batch) -> bool:
    """OpenMetrics forbids negative and NaN counters, which no source of ours has."""
    return not any(s.metric.kind == "counter" and not float(s.value) >= 0 for s in batch.samples if _plain(s.value))  # type: ignore[arg-type]


def _plain(value: object) -> bool:
    return not isinstance(value, Histogram)


@given(st.one_of(NUMBER, st.integers(-(10**15), 10**15), st.booleans()))
def test_numbers_are_written_as_go_writes_them(value: float) -> None:
    """A value has the form that prometheus_client gives it, and is the same number when read."""
    assert floatToGoString(value) == number(value)  # type: ignore[no-untyped-call]  # see above
    read = float(number(value))
    assert read == value or (math.isnan(read) and math.isnan(value))


def test_whole_page() -> None:
    """One sample of each kind, as it is written."""
    demo = (("cluster", "demo"), ("server", "pg-1"))
    page = render(
        [
            Batch((), [EVENTS.sample(2), SHARE.sample(0.5)]),
            Batch(
                demo,
                [
                    GAUGE.sample(3.5),
                    STATE.sample(1, 'a "b" \\ c\nd', "100 %s"),
                    COUNTER.sample(1_234_567, "sent"),
                    LEVEL.sample(-1, "x"),
                    WAITS.sample(Histogram((1, 0, 2, 0, 0, 1), 7.5), "x"),
                ],
            ),
            Batch((*demo, ("zone", "a")), [GAUGE.sample(float("inf"))]),
        ]
    ).decode()
    expected = """\
# HELP ha_thing_events_total What happened.
# TYPE ha_thing_events_total counter
ha_thing_events_total 2.0
# HELP ha_thing_usage_ratio Share in use.
# TYPE ha_thing_usage_ratio gauge
ha_thing_usage_ratio 0.5
# HELP ha_thing_lag_seconds Age of "the" thing; a \\\\ in it.
# TYPE ha_thing_lag_seconds gauge
ha_thing_lag_seconds{cluster="demo",server="pg-1"} 3.5
ha_thing_lag_seconds{cluster="demo",server="pg-1",zone="a"} +Inf
# HELP ha_thing_state What it is.
# TYPE ha_thing_state gauge
ha_thing_state{cluster="demo",db_name="a \\"b\\" \\\\ c\\nd",server="pg-1",state="100 %s"} 1.0
# HELP ha_thing_sent_bytes_total Bytes that went.
# TYPE ha_thing_sent_bytes_total counter
ha_thing_sent_bytes_total{cluster="demo",server="pg-1",stage="sent"} 1.234567e+06
# HELP ha_thing_used How many are out.
# TYPE ha_thing_used gauge
ha_thing_used{cluster="demo",server="pg-1",stage="x"} -1.0
# HELP ha_thing_wait_time_seconds How long they waited.
# TYPE ha_thing_wait_time_seconds histogram
ha_thing_wait_time_seconds_bucket{cluster="demo",le="0.005",server="pg-1",stage="x"} 1.0
ha_thing_wait_time_seconds_bucket{cluster="demo",le="0.1",server="pg-1",stage="x"} 1.0
ha_thing_wait_time_seconds_bucket{cluster="demo",le="1.0",server="pg-1",stage="x"} 3.0
ha_thing_wait_time_seconds_bucket{cluster="demo",le="1e+06",server="pg-1",stage="x"} 3.0
ha_thing_wait_time_seconds_bucket{cluster="demo",le="1.2345678e+07",server="pg-1",stage="x"} 3.0
ha_thing_wait_time_seconds_bucket{cluster="demo",le="+Inf",server="pg-1",stage="x"} 4.0
ha_thing_wait_time_seconds_count{cluster="demo",server="pg-1",stage="x"} 4.0
ha_thing_wait_time_seconds_sum{cluster="demo",server="pg-1",stage="x"} 7.5
"""
    assert expected == page


def test_nothing_is_an_empty_page() -> None:
    """No samples make an empty page, and in OpenMetrics one that says that it is complete."""
    assert render([]) == b""
    assert render([], openmetrics=True) == b"# EOF\n"


def test_text_that_is_no_utf8_costs_nobody() -> None:
    """A label from an environment that is not UTF-8 is shown with a question mark; the page is served."""
    page = render([Batch((("cluster", "caf\udce9"),), [SHARE.sample(1)])])
    assert page.decode().endswith('ha_thing_usage_ratio{cluster="caf?"} 1.0\n')


def test_first_of_duplicates_is_kept() -> None:
    """A series that comes twice costs neither the page nor the first value, on the page and in a registry."""
    batches = [Batch((), [EVENTS.sample(1), EVENTS.sample(2)]), Batch((), [EVENTS.sample(3)])]
    assert render(batches).decode().endswith("ha_thing_events_total 1.0\n")
    assert generate_latest(registry(batches)) == render(batches)


class TestSampleCollector:
    """A collector for the registries of prometheus_client."""

    def test_registration_asks_nobody(self) -> None:
        """Registering, and asking what there will be, read the declarations and not the source."""

        def source() -> Iterator[Batch]:
            raise AssertionError("asked at registration")

        collector = SampleCollector(source, METRICS)
        CollectorRegistry(auto_describe=True).register(collector)
        described = [(family.name, family.type, family.samples) for family in collector.describe()]
        assert described == [
            ("ha_thing_lag_seconds", "gauge", []),
            ("ha_thing_state", "gauge", []),
            ("ha_thing_sent_bytes", "counter", []),
            ("ha_thing_events", "counter", []),
            ("ha_thing_used", "gauge", []),
            ("ha_thing_usage_ratio", "gauge", []),
            ("ha_thing_wait_time_seconds", "histogram", []),
        ]

    def test_names_that_exist_are_refused(self) -> None:
        """Two collectors of the same names are found when the second is registered."""
        made = registry([])
        with pytest.raises(ValueError, match="Duplicated timeseries"):
            made.register(SampleCollector(list, [Metric(name="ha.thing.usage", kind="gauge", unit="1", help="It.")]))

    def test_values_are_read_when_asked(self) -> None:
        """Each collection has what the source has then."""
        values = iter([1, 2])
        made = CollectorRegistry()
        made.register(SampleCollector(lambda: [Batch((), [SHARE.sample(next(values))])], METRICS))
        read = [made.get_sample_value("ha_thing_usage_ratio") for _ in range(2)]
        assert read == [1.0, 2.0]
