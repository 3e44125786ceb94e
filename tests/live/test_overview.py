"""The overview on a real stack: every query has an answer, and tells the truth before and after the primary dies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from observability.dashboards import DASHBOARDS
from observability.dashboards.panel import Panel
from observability.lab.directory import temporary_directory
from observability.lab.faults import find_fault
from observability.lab.lab import Lab
from observability.lab.prometheus import Prometheus, Series
from observability.lab.ready import await_true

VALUES = {
    "$__rate_interval": "4s",
    "$__interval": "15s",
    "$__range": "300s",
    "$cluster": "demo",
    "$server": ".+",
    "$zone": ".*",
}
"""What Grafana would put in the place of its variables."""

PANELS = {panel.title: panel for board in DASHBOARDS for row in board.rows for panel in row.panels}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A stack of its own, as the lab brings it up; gone afterwards."""
    parent = temporary_directory()
    parent.chmod(0o711)
    stack = Lab(parent / "lab")
    stack.up()
    yield stack
    stack.down()
    parent.rmdir()


@pytest.fixture
def prometheus(lab: Lab) -> Iterator[Prometheus]:
    """The lab's Prometheus."""
    with Prometheus(lab.stack.site.ports["prometheus"]) as client:
        yield client


def answers(prometheus: Prometheus, panel: Panel) -> list[list[Series]]:
    """What each query of the panel brings now."""
    found = []
    for query in panel.queries:
        expression = query.expr
        for variable, value in VALUES.items():
            expression = expression.replace(variable, value)
        found.append(prometheus.query(expression))
    return found


def value(prometheus: Prometheus, title: str) -> list[float]:
    """The figures of a panel."""
    return [series.value for answer in answers(prometheus, PANELS[title]) for series in answer]


def roles(prometheus: Prometheus) -> dict[str, str]:
    """What the timeline shows for each server, as people read it."""
    texts = {state.value: state.text for state in PANELS["Roles"].states}
    return {
        series.labels["server"]: texts[series.value]
        for answer in answers(prometheus, PANELS["Roles"])
        for series in answer
    }


@pytest.mark.parametrize(
    "title", [title for title, panel in PANELS.items() if panel.queries and not panel.may_be_empty]
)
def test_every_query_has_an_answer(prometheus: Prometheus, title: str) -> None:
    """On a healthy stack no panel is empty without a stated reason."""
    panel = PANELS[title]
    assert await_true(lambda: all(answers(prometheus, panel)), timeout_seconds=30), panel.queries


def test_a_healthy_stack_looks_healthy(prometheus: Prometheus) -> None:
    """Who looks for five seconds sees that all is well, and who is who."""
    assert await_true(lambda: value(prometheus, "Stack") == [3], timeout_seconds=30)
    assert roles(prometheus) == {
        "pg-1": "PRIMARY",
        "pg-2": "STANDBY",
        "redis-1": "MASTER",
        "redis-2": "REPLICA",
        "server-1": "UP",
        "server-2": "UP",
    }
    assert value(prometheus, "Standbys streaming") == [1, 1]
    assert await_true(lambda: value(prometheus, "Pages firing") == [0], timeout_seconds=30)


def test_a_dead_primary_is_seen(lab: Lab, prometheus: Prometheus) -> None:
    """The same panels say that there is no primary, that a page fires, and no more that anything is well."""
    find_fault("kill-primary").inject(lab.stack)
    assert await_true(lambda: value(prometheus, "Stack") == [0], timeout_seconds=10)
    assert answers(prometheus, PANELS["Primary"]) == [[]]
    assert {"pg-1": "DOWN", "pg-2": "STANDBY"}.items() <= roles(prometheus).items()
    assert value(prometheus, "PostgreSQL lag") == []
    assert await_true(lambda: value(prometheus, "Pages firing") == [1], timeout_seconds=10)
