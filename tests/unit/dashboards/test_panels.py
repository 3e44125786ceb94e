"""What is refused in a panel or board, where panels stand, and that their ids stay."""

from __future__ import annotations

from dataclasses import replace

import pytest

from observability.alerts.render import LINKS
from observability.dashboards.layout import Numbers, Place, flow
from observability.dashboards.overview import BOARD
from observability.dashboards.panel import Board, Colour, Kind, Limit, Panel, Query, Row
from observability.dashboards.panels import grafana_json
from observability.dashboards.query import of_cluster, of_servers, unit, unit_of_rate
from observability.errors import DeclarationError
from observability.metrics import Metric

LAG = Metric(name="ha.thing.lag", kind="gauge", unit="s", help="Age of the thing.")
SENT = Metric(name="ha.thing.sent", kind="counter", unit="By", help="Bytes sent.", labels=("kind",))


def panel(title: str, width: int = 8, height: int = 8) -> Panel:
    """A panel of that size."""
    return Panel(title=title, kind=Kind.LINES, help="Lines.", queries=(Query("vector(1)"),), width=width, height=height)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param({"help": "No sentence"}, "full sentences", id="help"),
        pytest.param({"width": 25}, "between 1 and 24", id="too wide"),
        pytest.param({"queries": ()}, "asks nothing", id="no query"),
        pytest.param({"limits": (Limit(2, Colour.BAD), Limit(1, Colour.GOOD))}, "must rise", id="falling limits"),
    ],
)
def test_wrong_panels_are_refused(changes: dict[str, object], problem: str) -> None:
    """The broken rule is named together with the panel."""
    with pytest.raises(DeclarationError, match=problem):
        replace(panel("Lag"), **changes)  # type: ignore[arg-type]


def test_two_panels_with_one_title_are_refused() -> None:
    """Ids follow from titles, so a title stands for one panel."""
    with pytest.raises(DeclarationError, match="title of two"):
        Board(uid="ha-x", title="X", question="?", rows=(Row("Row", (panel("Lag"), panel("Lag"))),))


def test_panels_flow_from_left_to_right() -> None:
    """What does not fit begins a line below the highest panel of the one before."""
    places = [place for _, place in flow([panel("a", 12, 4), panel("b", 8, 6), panel("c", 6, 4), panel("d", 18, 4)], 1)]
    assert places == [Place(0, 1, 12, 4), Place(12, 1, 8, 6), Place(0, 7, 6, 4), Place(6, 7, 18, 4)]


def test_an_insertion_leaves_other_ids_alone() -> None:
    """Links to panels and pictures of them outlive a panel that is put before them."""

    def ids(board: Board) -> dict[str, int]:
        model = grafana_json(board, datasource_uid="prometheus", links=LINKS)
        return {panel["title"]: panel["id"] for panel in model["panels"]}

    grown = replace(BOARD, rows=(Row("New", (panel("First"),)), *BOARD.rows))
    after = ids(grown)
    assert {title: after[title] for title in ids(BOARD)} == ids(BOARD)


def test_closed_rows_hold_their_panels() -> None:
    """Grafana does not query what stands inside a closed row, and what follows moves up."""
    board = Board(
        uid="ha-x",
        title="X",
        question="?",
        rows=(Row("Closed", (panel("Inside"),), closed=True), Row("Open", (panel("Outside"),))),
    )
    model = grafana_json(board, datasource_uid="prometheus", links=LINKS)["panels"]
    assert [(each["title"], each["gridPos"]["y"]) for each in model] == [("Closed", 0), ("Open", 1), ("Outside", 2)]
    assert [each["title"] for each in model[0]["panels"]] == ["Inside"]


def test_selectors_always_name_the_cluster() -> None:
    """A selector is made from a metric and its labels, never typed."""
    assert of_cluster(LAG) == 'ha_thing_lag_seconds{cluster="$cluster"}'
    assert of_servers(SENT, kind="a") == 'ha_thing_sent_bytes_total{cluster="$cluster", server=~"$server", kind="a"}'


def test_labels_that_a_metric_lacks_are_refused() -> None:
    """A misspelt label would select nothing, silently."""
    with pytest.raises(DeclarationError, match="has no label 'knd'"):
        of_cluster(SENT, knd="a")


def test_units_come_from_the_metric() -> None:
    """Seconds stay seconds, and a counter of bytes becomes bytes per second."""
    assert (unit(LAG), unit(SENT), unit_of_rate(SENT)) == ("s", "bytes", "Bps")


def test_two_titles_with_one_id_are_refused() -> None:
    """Ids are hashes, so two titles may share one; then one of them must be worded differently."""
    numbers = Numbers("ha-x")
    numbers.of("queue host lock look disk look lag role shard")
    with pytest.raises(DeclarationError, match="have the same id"):
        numbers.of("look wal zone host time lock role lag")


def test_series_that_a_histogram_lacks_are_refused() -> None:
    """A misspelt suffix would select nothing, silently."""
    with pytest.raises(DeclarationError, match="has no series '_buckets'"):
        of_cluster(LAG, "_buckets")
