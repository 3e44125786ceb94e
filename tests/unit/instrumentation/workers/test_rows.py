"""How samples travel between workers, and what they amount to together."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from observability.instrumentation.workers.rows import Attributes, Row, Together, declaration, declared, decode, encode
from observability.metrics import Histogram, Metric, Value
from tests.unit.instrumentation.workers.made import AGE, APP, DONE, FREE, LAG, OPEN, SPENT, TIME

EVERY = [DONE, TIME, SPENT, OPEN, AGE, FREE, LAG]


@pytest.mark.parametrize("metric", EVERY, ids=lambda metric: metric.name)
def test_a_declaration_survives_the_way(metric: Metric) -> None:
    """The metric that arrives is declared as the one that was sent."""
    arrived = declared(declaration(metric))
    assert declaration(arrived) == declaration(metric)
    assert arrived.prometheus_name == metric.prometheus_name


def test_rows_survive_the_way() -> None:
    """Attributes, labels and values arrive as they were sent, not-a-number included."""
    rows = [
        Row(DONE, APP, ("core",), 3),
        Row(TIME, (), ("core",), Histogram([1, 0, 2], 2.5)),
        Row(LAG, (), (), float("inf")),
    ]
    arrived = list(decode(json.loads(json.dumps(encode(rows)))))
    assert [row.metric.name for row in arrived] == ["ha.made.done", "ha.made.time", "ha.made.lag"]
    assert [row[1:] for row in arrived] == [row[1:] for row in rows]


@pytest.mark.parametrize(
    ("metric", "values", "told"),
    [
        pytest.param(SPENT, [1.5, 2.0], {(): 3.5}, id="a counter is summed"),
        pytest.param(OPEN, [3.0, 4.0], {(): 7.0}, id="what goes up and down is summed"),
        pytest.param(AGE, [3.0, 9.0, 4.0], {(): 9.0}, id="the largest"),
        pytest.param(FREE, [3.0, 1.0, 4.0], {(): 1.0}, id="the smallest"),
        pytest.param(LAG, [3.0, 1.0], {(("worker", "0"),): 3.0, (("worker", "1"),): 1.0}, id="each its own"),
        pytest.param(
            TIME,
            [Histogram([1, 0, 2], 2.5), Histogram([0, 3, 1], 1.5)],
            {(): Histogram([1, 3, 3], 4.0)},
            id="a histogram",
        ),
    ],
)
def test_what_workers_tell_together(metric: Metric, values: list[Value], told: dict[Attributes, Value]) -> None:
    """Each metric is put together as it is declared."""
    together = Together()
    for worker, value in enumerate(values):
        together.add(Row(metric, (), ("core",) * len(metric.labels), value), worker)
    assert {row.attributes: row.value for row in together.rows()} == told


def test_two_versions_of_a_metric_are_not_mixed() -> None:
    """Where a new version of the code has other buckets, what the old one counted cannot be added, and is left out."""
    old = replace(TIME, buckets=(0.5,))
    together = Together()
    together.add(Row(TIME, (), ("core",), Histogram([1, 0, 2], 2.5)))
    together.add(Row(old, (), ("core",), Histogram([1, 1], 2.5)))
    assert [(row.metric, row.value) for row in together.rows()] == [(TIME, Histogram([1, 0, 2], 2.5))]


def test_a_new_help_text_makes_no_other_metric() -> None:
    """Versions of the code that differ in words alone count together, under the first of them."""
    together = Together()
    together.add(Row(SPENT, (), (), 1))
    together.add(Row(replace(SPENT, help="Seconds spent."), (), (), 2))
    assert [(row.metric, row.value) for row in together.rows()] == [(SPENT, 3)]


def test_batches_are_by_attributes() -> None:
    """A sink gets one batch for each set of attributes, all since the server began."""
    together = Together()
    together.add(Row(DONE, APP, ("core",), 1))
    together.add(Row(DONE, (), ("core",), 2))
    together.add(Row(SPENT, APP, (), 3))
    assert [
        (batch.attributes, [sample.value for sample in batch.samples], batch.since) for batch in together.batches(7.0)
    ] == [
        (APP, [1, 3], 7.0),
        ((), [2], 7.0),
    ]
