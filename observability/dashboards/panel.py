"""What a panel is: a question, the queries that answer it, and how to read the answer. Nothing here knows Grafana's JSON."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from observability.alerts.alert import Alert
from observability.errors import DeclarationError

COLUMNS = 24


class Colour(StrEnum):
    """Colours that people who cannot tell red from green can tell apart (Okabe and Ito); a text always stands beside."""

    GOOD = "#009E73"
    NOTICE = "#56B4E9"
    WARNING = "#E69F00"
    BAD = "#D55E00"
    PLAIN = "text"


class Kind(StrEnum):
    """Grafana's names of what a panel can be."""

    LINES = "timeseries"
    STAT = "stat"
    TIMELINE = "state-timeline"
    TABLE = "table"
    ALERTS = "alertlist"

    @property
    def instant(self) -> bool:
        """It shows what is now: asked over a range, it would show the last that was known, however old."""
        return self in {Kind.STAT, Kind.TABLE}


class Query(NamedTuple):
    """One expression; `legend` names its series, with `{{label}}` for a label's value."""

    expr: str
    legend: str = ""


class State(NamedTuple):
    """What a value stands for; `value` is a number, or a text where the panel shows texts."""

    value: float | str
    text: str
    colour: Colour


class Limit(NamedTuple):
    """From this value on the panel has this colour."""

    value: float
    colour: Colour


class Column(NamedTuple):
    """A column of a table: the field that it shows, its heading, and how."""

    field: str
    heading: str
    unit: str = ""
    states: tuple[State, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """
    One panel.

    Args:
        title: short; unique on its board, because its id follows from it.
        kind: how the answer is shown.
        help: what it shows and how to read it, in full sentences.
        queries: what is asked of Prometheus.
        unit: Grafana's name of the unit.
        width: of 24 columns.
        height: in rows of Grafana's grid.
        limits: in rising order; below the first the colour is `base`.
        base: the colour of what no limit and no state speaks about.
        states: texts and colours for single values.
        empty: what is shown when there is no answer.
        named: a stat shows the series' name instead of its value.
        lowest: the least value that the axis shows.
        highest: the greatest value that the axis shows, if it is not exceeded.
        columns: those of a table.
        alerts: whose limits are drawn and whose runbooks are linked.
        may_be_empty: why no answer may be right; empty if there must be one.

    """

    title: str
    kind: Kind
    help: str
    queries: tuple[Query, ...]
    unit: str = "none"
    width: int = 8
    height: int = 8
    limits: tuple[Limit, ...] = ()
    base: Colour = Colour.PLAIN
    states: tuple[State, ...] = ()
    empty: str = ""
    named: bool = False
    lowest: float | None = None
    highest: float | None = None
    columns: tuple[Column, ...] = ()
    alerts: tuple[Alert, ...] = ()
    may_be_empty: str = ""

    def __post_init__(self) -> None:
        if problem := self._problem():
            raise DeclarationError(f"panel {self.title!r}: {problem}")

    def _problem(self) -> str | None:
        if not self.help.endswith("."):
            return "help must be full sentences"
        if not 0 < self.width <= COLUMNS:
            return f"width must be between 1 and {COLUMNS}"
        if not self.queries and self.kind is not Kind.ALERTS:
            return "it asks nothing"
        if list(self.limits) != sorted(self.limits, key=lambda limit: limit.value):
            return "limits must rise"
        return None


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading; closed ones open with a click and are not queried before."""

    title: str
    panels: tuple[Panel, ...]
    closed: bool = False


class Event(NamedTuple):
    """A vertical line at the moments when `expr` has a result."""

    title: str
    expr: str
    text: str
    colour: Colour


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """
    A dashboard.

    Args:
        uid: what alerts and other boards link to; never changes.
        title: its name.
        question: what it answers, in full sentences.
        rows: from symptoms to causes.
        events: what is marked on every time axis.

    """

    uid: str
    title: str
    question: str
    rows: tuple[Row, ...]
    events: tuple[Event, ...] = ()

    def __post_init__(self) -> None:
        titles = [row.title for row in self.rows] + [panel.title for row in self.rows for panel in row.panels]
        if twice := {title for title in titles if titles.count(title) > 1}:
            raise DeclarationError(f"dashboard {self.uid!r}: {twice.pop()!r} is the title of two panels or rows")
