"""Made-up batches for both sinks: every kind, awkward labels, awkward values, duplicates."""

from __future__ import annotations

from hypothesis import strategies as st

from observability.metrics import Batch, Histogram, Metric, Sample, Value

GAUGE = Metric(name="ha.thing.lag", kind="gauge", unit="s", help='Age of "the" thing; a \\ in it.')
STATE = Metric(name="ha.thing.state", kind="gauge", help="What it is.", labels=("db.name", "state"))
COUNTER = Metric(name="ha.thing.sent", kind="counter", unit="By", help="Bytes that went.", labels=("stage",))
EVENTS = Metric(name="ha.thing.events", kind="counter", unit="{event}", help="What happened.")
LEVEL = Metric(name="ha.thing.used", kind="updowncounter", unit="{item}", help="How many are out.", labels=("stage",))
SHARE = Metric(name="ha.thing.usage", kind="gauge", unit="1", help="Share in use.")
WAITS = Metric(
    name="ha.thing.wait_time",
    kind="histogram",
    unit="s",
    help="How long they waited.",
    labels=("stage",),
    buckets=(0.005, 0.1, 1.0, 1e6, 12_345_678.0),
)
METRICS = (GAUGE, STATE, COUNTER, EVENTS, LEVEL, SHARE, WAITS)

TEXT = st.text(
    st.one_of(st.sampled_from('\\"\n%{},= é✓'), st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"))),
    max_size=8,
)
NUMBER = st.one_of(
    st.floats(),
    st.sampled_from([0.0, -0.0, 5e-324, 1e-7, 999_999.0, 1e6, 123_456_789.5, -1e9, 1e15, 1e16, 1e100, 1.7e308]),
    st.integers(-(2**60), 2**60).map(float),
)
HISTOGRAM = st.builds(
    Histogram,
    st.lists(st.integers(0, 10**9), min_size=6, max_size=6).map(tuple),
    st.floats(0, 1e12),
)


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    """A sample of any of the metrics."""
    metric = draw(st.sampled_from(METRICS))
    value: Value = draw(HISTOGRAM) if metric.kind == "histogram" else draw(NUMBER)
    return metric.sample(value, *(draw(TEXT) for _ in metric.labels))


ATTRIBUTES = st.sampled_from(
    [
        (),
        (("cluster", "demo"),),
        (("cluster", "demo"), ("server", "pg-1")),
        (("cluster", 'a "100 %s" \\ one'), ("server", "pg\n2"), ("zone", "é")),
    ]
)
BATCHES = st.lists(
    st.builds(Batch, ATTRIBUTES, st.lists(samples(), max_size=8), st.sampled_from([None, 1_700_000_000.0])),
    max_size=4,
)
