"""Rules that every generated dashboard keeps, checked on the JSON that Grafana gets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest

from observability.alerts import ALERTS, meta
from observability.dashboards.render import files
from observability.failover.signals import MODE, WATCHDOG
from tests.promql import parse, selectors

BOARDS: dict[str, dict[str, Any]] = {name: json.loads(text) for name, text in files().items() if name.endswith(".json")}

OF_NO_CLUSTER = {MODE.prometheus_name, WATCHDOG.prometheus_name}
"""Series of what serves all clusters."""

KNOWN_VARIABLES = {"datasource", "cluster", "zone", "server", "__rate_interval", "__range", "__interval"}


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every panel that is not a heading, those in closed rows too."""
    for panel in board["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def expressions(board: dict[str, Any]) -> Iterator[str]:
    """Every expression of a board, those of annotations too."""
    for panel in panels(board):
        yield from (target["expr"] for target in panel["targets"])
    yield from (annotation["expr"] for annotation in board["annotations"]["list"])


EVERY_PANEL = [
    pytest.param(panel, id=f"{name}: {panel['title']}") for name, board in BOARDS.items() for panel in panels(board)
]
EVERY_EXPRESSION = [
    pytest.param(expression, id=f"{name}: {expression[:50]}")
    for name, board in BOARDS.items()
    for expression in expressions(board)
]
every_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
every_panel = pytest.mark.parametrize("panel", EVERY_PANEL)
every_expression = pytest.mark.parametrize("expression", EVERY_EXPRESSION)


@every_board
def test_ids_are_unique_and_fit(board: dict[str, Any]) -> None:
    """Links to a panel and screenshots lead to one panel only; Grafana allows uids of 40 characters."""
    ids = [panel["id"] for panel in board["panels"]] + [panel["id"] for panel in panels(board)]
    headings = sum(panel["type"] == "row" for panel in board["panels"])
    assert len(set(ids)) == headings + len(list(panels(board)))
    assert re.fullmatch("[a-z0-9-]{1,40}", board["uid"])


@every_board
def test_panels_do_not_overlap(board: dict[str, Any]) -> None:
    """Every panel is within the 24 columns and covers no other."""
    places = [panel["gridPos"] for panel in board["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


@every_board
def test_boards_are_small_enough_to_be_read(board: dict[str, Any]) -> None:
    """More than 25 panels answer more than one question."""
    assert len(list(panels(board))) <= 25


@every_panel
def test_panels_explain_themselves(panel: dict[str, Any]) -> None:
    """Each panel has a title, full sentences of description, and a unit or texts for its values."""
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]


@every_board
def test_datasources_are_typed_references(board: dict[str, Any]) -> None:
    """Panels, queries, variables and annotations follow the variable `datasource`, by type and uid."""
    source = {"type": "prometheus", "uid": "${datasource}"}
    asking = [
        *panels(board),
        *(target for panel in panels(board) for target in panel["targets"]),
        *(each for each in board["templating"]["list"] if each["type"] == "query"),
        *board["annotations"]["list"],
    ]
    assert all(each["datasource"] == source for each in asking)


@every_board
def test_nothing_is_null(board: dict[str, Any]) -> None:
    """Null is written for nothing but the first step of thresholds, where it means minus infinity."""

    def nulls(value: Any, path: str) -> Iterator[str]:
        if isinstance(value, dict):
            for key, each in value.items():
                yield from nulls(each, f"{path}.{key}")
        elif isinstance(value, list):
            for index, each in enumerate(value):
                yield from nulls(each, f"{path}.{index}")
        elif value is None:
            yield path

    assert [path for path in nulls(board, "") if not path.endswith(".thresholds.steps.0.value")] == []


@every_board
def test_the_model_is_the_classic_one(board: dict[str, Any]) -> None:
    """A schema that Grafana 11, 12 and 13 read, without what older ones left behind."""
    assert board["schemaVersion"] == 41
    assert not {"rows", "style", "hideControls", "__inputs"}.intersection(board)
    for panel in panels(board):
        assert not {"maxDataPoints", "span", "error", "columns", "mappings"}.intersection(panel)
        for target in panel["targets"]:
            assert not {"intervalFactor", "step", "metric"}.intersection(target)


@every_panel
def test_figures_show_what_is_now(panel: dict[str, Any]) -> None:
    """A number that is asked over a range would show the last known value, however old."""
    if panel["type"] in {"stat", "table"}:
        assert all(target["instant"] and not target["range"] for target in panel["targets"])
    if panel["type"] == "stat":
        assert panel["options"]["reduceOptions"]["calcs"] == ["lastNotNull"]


@every_expression
def test_expressions_parse(expression: str) -> None:
    """Every query is PromQL, and uses only variables that exist."""
    parse(expression)
    assert set(re.findall(r"\$\{?(\w+)", expression)) <= KNOWN_VARIABLES


@every_expression
def test_selectors_name_their_cluster(expression: str) -> None:
    """No panel mixes two clusters, save in series that serve all of them."""
    for selector in selectors(expression):
        serves_all = (
            selector.name in OF_NO_CLUSTER or selector.matchers.get("alertname", ("", ""))[1] == meta.WATCHDOG.name
        )
        assert serves_all or selector.matchers.get("cluster", ("", ""))[1] == "$cluster", selector


@every_expression
def test_counters_are_asked_for_their_rate(expression: str) -> None:
    """A counter's value since some start says nothing; a gauge has no rate."""
    for selector in selectors(expression):
        is_counter = selector.name.endswith(("_total", "_bucket", "_sum", "_count")) and selector.name != "ALERTS"
        is_rate = bool({"rate", "increase", "irate"}.intersection(selector.functions))
        # The semantic conventions call a gauge db.client.connection.count.
        assert is_rate == is_counter or selector.name == "db_client_connection_count", selector


@every_board
def test_thresholds_are_those_of_the_alerts(board: dict[str, Any]) -> None:
    """A line that is drawn at a limit is at the alert's limit, and leads to its runbook."""
    values = {threshold.value for alert in ALERTS for threshold in alert.thresholds}
    drawn = [panel for panel in panels(board) if panel["type"] == "timeseries"]
    for panel in drawn:
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1:]
        assert {step["value"] for step in steps} <= values
        assert bool(steps) == bool(panel["links"])
    assert any(panel["links"] for panel in drawn)


@every_board
def test_variables_are_the_same_everywhere(board: dict[str, Any]) -> None:
    """Whoever goes from board to board keeps the choice of datasource, cluster, zone and server."""
    assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource", "cluster", "zone", "server"]
    assert all(link["includeVars"] and link["keepTime"] for link in board["links"])
