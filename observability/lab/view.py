"""The lab as a person sees it: servers, pools, alerts, load and addresses, drawn with Rich from the latest figures."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from observability.instrumentation.pool import metrics as pool
from observability.lab.applications import SERVERS, load_report, token_file
from observability.lab.figures import Figures
from observability.lab.launch import Ready
from observability.lab.load import Account
from observability.lab.prometheus import Series
from observability.lab.report import Finding
from observability.lab.site import CLUSTER
from observability.lab.stack import Stack
from observability.metrics import Metric
from observability.probes.cluster import LAG, PRIMARIES, REDIS_BACKLOG
from observability.probes.postgres.server import ROLE as POSTGRES_ROLE
from observability.probes.redis.replication import ROLE as REDIS_ROLE
from observability.scrape import STATE, UP

UNKNOWN = "-"
"""What stands where nothing is known; never 0."""

_ORDER = ("pg-1", "pg-2", "redis-1", "redis-2", *SERVERS)
_STYLES = {"firing": "bold red", "pending": "yellow"}


def overview(stack: Stack, figures: Figures, alerts: Sequence[Mapping[str, Any]] | None) -> RenderableType:
    """Everything at a glance."""
    return Group(
        headline(stack, figures),
        Columns([servers(figures), pools(figures)], padding=(0, 4)),
        alert_table(alerts),
        load(Account.read(load_report(stack.site)), now=time.time()),
        addresses(stack),
    )


def headline(stack: Stack, figures: Figures) -> Text:
    """Which lab this is, and whether its cluster has the one primary that it should have."""
    found = figures.query(PRIMARIES.prometheus_name)
    primaries = _number(found[0].value if found else None)
    return Text.assemble(
        (f"Cluster {CLUSTER} · primaries: ", "bold"),
        (primaries, "bold green" if primaries == "1" else "bold red"),
        (f" · PostgreSQL {stack.postgres.primary.installation.version} · {stack.site.state.path}", "bold"),
    )


def servers(figures: Figures) -> Table:
    """State, role and lag of every target."""
    table = Table("server", "system", "state", "role", "lag", title="Servers", title_justify="left", box=SIMPLE_HEAD)
    systems = {series.labels["server"]: series.labels["system"] for series in figures.query(UP.prometheus_name)}
    states, roles = (
        _current(figures, STATE, "state"),
        _current(figures, POSTGRES_ROLE, "role") | _current(figures, REDIS_ROLE, "role"),
    )
    lags = {series.labels["server"]: f"{series.value:.1f} s" for series in figures.query(LAG.prometheus_name)}
    lags |= {
        series.labels["server"]: f"{series.value:.0f} B" for series in figures.query(REDIS_BACKLOG.prometheus_name)
    }
    for name in _ORDER:
        state = states.get(name, UNKNOWN)
        style = "green" if state == "ok" else "bold red"
        table.add_row(
            name,
            systems.get(name, UNKNOWN),
            Text(state, style=style),
            roles.get(name, UNKNOWN),
            lags.get(name, UNKNOWN),
        )
    return table


def pools(figures: Figures) -> Table:
    """The connection pools of the servers."""
    table = Table(
        "server", "used", "idle", "most", "waiting", "timeouts", title="Pools", title_justify="left", box=SIMPLE_HEAD
    )
    by_state = {
        state: _by_server(
            [series for series in figures.query(pool.COUNT.prometheus_name) if state in series.labels.values()]
        )
        for state in ("used", "idle")
    }
    rest = [_by_server(figures.query(metric.prometheus_name)) for metric in (pool.MAX, pool.PENDING, pool.TIMEOUTS)]
    for name in SERVERS:
        table.add_row(name, *(_number(column.get(name)) for column in (by_state["used"], by_state["idle"], *rest)))
    return table


def alert_table(alerts: Sequence[Mapping[str, Any]] | None) -> RenderableType:
    """Alerts that are pending or firing, the watchdog left out: it always fires; None when nobody can tell."""
    if alerts is None:
        return Text(
            "Prometheus does not answer: the figures come straight from the exporter, alerts are unknown.",
            style="yellow",
        )
    shown = [alert for alert in alerts if alert["labels"].get("severity") != "none"]
    if not shown:
        return Text("No alert is pending or firing.", style="green")
    table = Table("alert", "state", "what", title="Alerts", title_justify="left", box=SIMPLE_HEAD)
    for alert in shown:
        style = _STYLES.get(alert["state"], "")
        table.add_row(
            alert["labels"]["alertname"], Text(alert["state"], style=style), alert["annotations"].get("summary", "")
        )
    return table


def load(account: Account | None, *, now: float) -> Text:
    """What the steady load got for answers."""
    if account is None:
        return Text("Load: no account yet.")
    text = f"Load: {account.acknowledged_writes} writes acknowledged, {account.failed_writes} failed"
    if account.last_failure and account.last_failure_at:
        text += f"; last failure {now - account.last_failure_at:.0f} s ago: {account.last_failure}"
    return Text(text)


def addresses(stack: Stack) -> Table:
    """Where to look, and what is missing here."""
    table = Table.grid(padding=(0, 2))
    for name, url in stack.urls.items():
        table.add_row(name, url)
    table.add_row("", f"the controller's page asks for a password: it is in {token_file(stack.site)}")
    for name, program in stack.missing.items():
        table.add_row(Text(name, style="yellow"), f"not installed: {program.how_to_get}")
    return table


def processes(stack: Stack) -> Table:
    """The lab's processes and whether they live."""
    table = Table("process", "pid", "", title="Processes", title_justify="left", box=SIMPLE_HEAD)
    for process in stack.site.registry.all():
        state = "frozen" if process.frozen else "runs" if process.alive else "ended"
        table.add_row(process.name, str(process.pid), Text(state, style="green" if state == "runs" else "bold red"))
    return table


def findings(title: str, found: Sequence[Finding]) -> Table:
    """A report: what was expected of whom, and what was seen."""
    table = Table("", "who", "expected", "seen", title=title, title_justify="left")
    for finding in found:
        mark = Text("no", style="bold red") if finding.problem else Text("ok", style="green")
        table.add_row(mark, finding.piece, finding.expected, "\n".join(filter(None, (finding.seen, finding.problem))))
    return table


def ready(news: Ready) -> Text:
    """One line about a piece that is ready."""
    return Text.assemble(("  ready ", "green"), f"{news.name:<14}{news.seconds:5.1f} s")


def _current(figures: Figures, metric: Metric, label: str) -> dict[str, str]:
    """Of a state set, the state that each server is in."""
    return {
        series.labels["server"]: series.labels[label]
        for series in figures.query(metric.prometheus_name)
        if series.value == 1
    }


def _by_server(found: Sequence[Series]) -> dict[str, float]:
    """The sum for each server: a server may have several pools."""
    sums: dict[str, float] = {}
    for series in found:
        server = series.labels.get("server", "")
        sums[server] = sums.get(server, 0) + series.value
    return sums


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.0f}"
