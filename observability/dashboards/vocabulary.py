"""The few kinds of panels that boards are made of; unit, help, limits and legend come from the `Metric` and the `Alert`."""

from __future__ import annotations

from typing import Any, NamedTuple

from observability.alerts.alert import Alert, Severity
from observability.dashboards.panel import Colour, Column, Kind, Limit, Panel, Query, State
from observability.dashboards.query import RATE_WINDOW, each, of_servers, unit, unit_of_rate
from observability.metrics import Metric

SEVERITY_COLOURS: dict[Severity, Colour] = {
    "page": Colour.BAD,
    "ticket": Colour.WARNING,
    "info": Colour.NOTICE,
    "none": Colour.PLAIN,
}


class Drawn(NamedTuple):
    """An alert and the name of the threshold that a panel draws."""

    alert: Alert
    threshold: str

    @property
    def limit(self) -> Limit:
        """The line, in the colour of the alert's severity."""
        return Limit(self.alert.threshold(self.threshold).value, SEVERITY_COLOURS[self.alert.severity])


def figure(title: str, help_: str, *queries: Query, **more: Any) -> Panel:
    """A few large numbers; a number says more than its colour, so the text has it, not the background."""
    return Panel(
        **{"title": title, "kind": Kind.STAT, "help": help_, "queries": queries, "width": 3, "height": 4, **more}
    )


def verdict(title: str, help_: str, query: Query, *states: State, **more: Any) -> Panel:
    """One value as a word on its colour."""
    return figure(title, help_, query, states=states, **more)


def name(title: str, help_: str, query: Query, **more: Any) -> Panel:
    """The name of what is so now, such as the server that is primary."""
    return figure(title, help_, query, named=True, base=Colour.GOOD, **more)


def level(title: str, metric: Metric, *drawn: Drawn, by: str = "server", **more: Any) -> Panel:
    """A gauge over time, one line for each `by`: lag, backlog, age."""
    query = Query(each(by, of_servers(metric)), legend(by))
    return lines(title, metric.help, query, unit=unit(metric), drawn=drawn, **more)


def rate(title: str, metric: Metric, *drawn: Drawn, by: str = "server", **more: Any) -> Panel:
    """How often a counted thing happens per second."""
    query = Query(f"sum by ({by}) (rate({of_servers(metric)}{RATE_WINDOW}))", legend(by))
    return lines(title, f"{metric.help} Per second.", query, unit=unit_of_rate(metric), drawn=drawn, **more)


def quantile(title: str, metric: Metric, share: float, by: str = "server", **more: Any) -> Panel:
    """Below which value the given share of a histogram's observations stayed."""
    rates = f"sum by (le, {by}) (rate({of_servers(metric, '_bucket')}{RATE_WINDOW}))"
    query = Query(f"histogram_quantile({share:g}, {rates})", legend(by))
    help_ = f"{metric.help} The line is what {share:.0%} stayed below."
    return lines(title, help_, query, unit=unit(metric), drawn=(), **more)


def saturation(title: str, help_: str, expr: str, *drawn: Drawn, by: str = "server", **more: Any) -> Panel:
    """A share of what there is, from 0 to 100 %."""
    query = Query(each(by, expr), legend(by))
    return lines(title, help_, query, unit="percentunit", highest=1, drawn=drawn, **more)


def lines(title: str, help_: str, *queries: Query, drawn: tuple[Drawn, ...], **more: Any) -> Panel:
    """Any lines over time, with the limits of alerts."""
    return Panel(
        title=title,
        kind=Kind.LINES,
        help=help_,
        queries=queries,
        limits=tuple(sorted((each.limit for each in drawn), key=lambda limit: limit.value)),
        alerts=tuple(each.alert for each in drawn),
        **{"lowest": 0, **more},
    )


def timeline(title: str, help_: str, *queries: Query, states: tuple[State, ...], **more: Any) -> Panel:
    """The states of several servers over time, one above the other."""
    return Panel(title=title, kind=Kind.TIMELINE, help=help_, queries=queries, states=states, **{"width": 16, **more})


def table(title: str, help_: str, *queries: Query, columns: tuple[Column, ...], **more: Any) -> Panel:
    """What is known now, one row for each server."""
    return Panel(title=title, kind=Kind.TABLE, help=help_, queries=queries, columns=columns, **{"width": 24, **more})


def alert_list(title: str, help_: str, **more: Any) -> Panel:
    """Alerts that fire or are about to, as Grafana knows them from the datasource."""
    return Panel(title=title, kind=Kind.ALERTS, help=help_, queries=(), **more)


def legend(by: str) -> str:
    """`server, pool` → `{{server}} {{pool}}`."""
    return " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))
