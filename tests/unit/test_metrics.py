"""What a declaration must be like, which Prometheus name it gets, and what its samples are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.prometheus._mapping import map_unit, sanitize_attribute, sanitize_full_name

from observability.errors import DeclarationError
from observability.metrics import Histogram, Metric, Sample, prometheus_name

FLAG = Metric(name="ha.thing.up", kind="gauge", help="Whether it is.")
ROLE = Metric(name="ha.thing.role", kind="gauge", help="What it is.", labels=("pool", "role"))


def declare(**changes: Any) -> Metric:
    """A right declaration, changed."""
    return Metric(**({"name": "ha.thing.lag", "kind": "gauge", "help": "Age of the thing.", "unit": "s"} | changes))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param({"name": "lag"}, "names are dotted words", id="one word"),
        pytest.param({"name": "ha.Thing"}, "names are dotted words", id="upper case"),
        pytest.param({"name": "ha..thing"}, "names are dotted words", id="empty word"),
        pytest.param({"name": "ha.thing-lag"}, "names are dotted words", id="dash"),
        pytest.param({"name": "ha.thing_"}, "names are dotted words", id="trailing underscore"),
        pytest.param({"name": "ha.lag.seconds"}, "the unit belongs in unit=", id="unit in the name"),
        pytest.param({"name": "ha.thing_total"}, "the unit belongs in unit=", id="total in the name"),
        pytest.param({"name": "ha.items.per.thing"}, "the unit belongs in unit=", id="per in the name"),
        pytest.param({"kind": "summary"}, "kind must be one of", id="unknown kind"),
        pytest.param({"unit": "ms"}, "use base units", id="milliseconds"),
        pytest.param({"unit": "%"}, "use base units", id="percent"),
        pytest.param({"unit": "KiBy"}, "is not a base unit", id="kibibytes"),
        pytest.param({"unit": "By/min"}, "is not a base unit", id="per minute"),
        pytest.param({"unit": "connection"}, "is not a base unit", id="annotation without braces"),
        pytest.param({"help": ""}, "help must be a full sentence", id="no help"),
        pytest.param({"help": "Age"}, "help must be a full sentence", id="no full stop"),
        pytest.param({"help": "age."}, "help must be a full sentence", id="small letter"),
        pytest.param({"labels": ("b", "a")}, "alphabetical order", id="labels out of order"),
        pytest.param({"labels": ("a", "a")}, "a label is declared twice", id="label twice"),
        pytest.param({"labels": ("a.b", "a_b")}, "a label is declared twice", id="labels that are written alike"),
        pytest.param({"labels": ("a-b",)}, "not a dotted lower-case name", id="dash in a label"),
        pytest.param({"labels": ("cluster",)}, "is reserved", id="label of the target"),
        pytest.param({"labels": ("otel.scope.name",)}, "is reserved", id="label of the translation"),
        pytest.param({"labels": ("le",)}, "is reserved", id="label of buckets"),
        pytest.param({"buckets": (1.0,)}, "needs buckets", id="gauge with buckets"),
        pytest.param({"kind": "histogram"}, "needs buckets", id="histogram without buckets"),
        pytest.param({"kind": "histogram", "buckets": (2.0, 1.0)}, "must increase", id="buckets that fall"),
        pytest.param({"kind": "histogram", "buckets": (1.0, float("inf"))}, "leave out +Inf", id="infinite bucket"),
        pytest.param({"across_workers": "mean"}, "across_workers must be one of", id="unknown way across workers"),
        pytest.param({"kind": "counter", "across_workers": "max"}, "is summed across workers", id="greatest counter"),
        pytest.param({"labels": ("worker",)}, "is reserved", id="label of workers"),
    ],
)
def test_wrong_declarations_are_refused(changes: dict[str, Any], problem: str) -> None:
    """A declaration that breaks a rule fails where it stands, naming the metric and the rule."""
    with pytest.raises(DeclarationError) as raised:
        declare(**changes)
    assert repr(changes.get("name", "ha.thing.lag")) in str(raised.value)
    assert problem in str(raised.value)


@pytest.mark.parametrize(
    ("name", "unit", "kind", "expected"),
    [
        pytest.param("ha.postgres.replication.lag", "s", "gauge", "ha_postgres_replication_lag_seconds", id="seconds"),
        pytest.param("ha.wal.sent", "By", "counter", "ha_wal_sent_bytes_total", id="bytes counted"),
        pytest.param("ha.pool.usage", "1", "gauge", "ha_pool_usage_ratio", id="a ratio"),
        pytest.param("ha.retries", "1", "counter", "ha_retries_total", id="a counter of ones is no ratio"),
        pytest.param("ha.share", "1", "updowncounter", "ha_share", id="nor is an updowncounter"),
        pytest.param("ha.wal.rate", "By/s", "gauge", "ha_wal_rate_bytes_per_second", id="bytes per second"),
        pytest.param("ha.http.rate", "{request}/s", "gauge", "ha_http_rate_per_second", id="requests per second"),
        pytest.param("ha.pool.size", "{connection}", "gauge", "ha_pool_size", id="an annotation is left out"),
        pytest.param("ha.target.up", "", "gauge", "ha_target_up", id="a flag"),
        pytest.param("ha.dns.find_time", "s", "histogram", "ha_dns_find_time_seconds", id="a histogram"),
        # https://opentelemetry.io/docs/specs/semconv/database/database-metrics/
        pytest.param(
            "db.client.connection.wait_time",
            "s",
            "histogram",
            "db_client_connection_wait_time_seconds",
            id="a name of the semantic conventions",
        ),
    ],
)
def test_names_follow_the_standard_translation(name: str, unit: str, kind: Any, expected: str) -> None:
    """The Prometheus name is what the OpenTelemetry specification makes of name, unit and kind."""
    assert expected == prometheus_name(name, unit, kind)


WORD = st.from_regex(r"[a-z][a-z0-9]{0,6}(_[a-z0-9]{1,5})?", fullmatch=True)


@given(
    words=st.lists(WORD, min_size=2, max_size=4),
    unit=st.sampled_from(["", "s", "By", "By/s", "{connection}", "{request}/s", "1"]),
    kind=st.sampled_from(["counter", "updowncounter", "gauge"]),
)
def test_names_equal_those_of_the_opentelemetry_exporter(words: list[str], unit: str, kind: Any) -> None:
    """
    OpenTelemetry's own exporter for Prometheus gives the same name.

    It leaves the suffix `_ratio` out, which the specification asks for, so gauges of unit 1 are compared without it.
    """
    try:
        metric = Metric(name=".".join(words), kind=kind, unit=unit, help="A thing.")
    except DeclarationError:
        return
    suffix = map_unit(unit)
    theirs = sanitize_full_name(metric.name) + (f"_{suffix}" if suffix else "")
    if kind == "counter":
        theirs += "_total"
    ours = metric.prometheus_name.removesuffix("_ratio") if unit == "1" else metric.prometheus_name
    assert theirs == ours


@given(st.from_regex(r"[a-z][a-z0-9]{0,5}([._][a-z0-9]{1,5}){0,3}", fullmatch=True))
def test_labels_equal_those_of_the_opentelemetry_exporter(label: str) -> None:
    """A label is written as OpenTelemetry's exporter writes the attribute."""
    try:
        metric = declare(labels=(label,))
    except DeclarationError:
        return
    assert (sanitize_attribute(label),) == metric.prometheus_labels


def test_sample_needs_every_label() -> None:
    """A sample with too few or too many label values is a mistake of the code, found at once."""
    assert Sample(ROLE, 1, ("a", "primary")) == ROLE.sample(1, "a", "primary")
    with pytest.raises(DeclarationError, match=r"'ha.thing.role' has labels \('pool', 'role'\)"):
        ROLE.sample(1, "primary")


def test_unknown_is_absent() -> None:
    """None gives no sample; 0 is a value like any other."""
    assert FLAG.known(None) == ()
    assert (Sample(FLAG, 0),) == FLAG.known(0)


def test_states_are_one_and_zeros() -> None:
    """A state set has one sample for each state, and exactly the current one is 1."""
    expected = (Sample(ROLE, 0.0, ("a", "primary")), Sample(ROLE, 1.0, ("a", "standby")))
    assert expected == ROLE.states("standby", ("primary", "standby"), "a")


def test_histogram_counts_what_is_in_its_buckets() -> None:
    """The count of a histogram is the sum of its buckets: the two cannot disagree."""
    assert Histogram((1, 0, 2), 7.5).count == 3


def test_declarations_are_compared_by_identity() -> None:
    """Two declarations are two metrics, even if they read the same; one is a key of dictionaries."""
    assert declare() != declare()
    assert len({FLAG, FLAG, ROLE}) == 2


@pytest.mark.parametrize(
    ("declared", "across"),
    [
        pytest.param({}, "each", id="a gauge that makes no choice"),
        pytest.param({"across_workers": "max"}, "max", id="a gauge that makes one"),
        pytest.param({"kind": "updowncounter"}, "sum", id="an updowncounter"),
        pytest.param({"kind": "counter"}, "sum", id="a counter"),
    ],
)
def test_what_workers_tell_together(declared: dict[str, Any], across: str) -> None:
    """What adds up is summed across workers; what does not is told by each, unless the declaration says otherwise."""
    assert declare(**declared).across_workers == across
