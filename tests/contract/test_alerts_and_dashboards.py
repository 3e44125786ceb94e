"""Alerts, dashboards, runbooks and metrics name each other: none names what does not exist."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from observability import catalogue
from observability.alerts import ALERTS
from observability.alerts.alert import Alert
from observability.alerts.proofs import PROOFS
from observability.alerts.render import LINKS, rule_annotations
from observability.alerts.runbook import page, text
from observability.dashboards import DASHBOARDS
from observability.dashboards.render import files
from observability.lab.faults import FAULTS
from observability.metrics import Metric
from tests.promql import selectors, series

OF_PROMETHEUS = {"ALERTS", "up"}
"""Series that Prometheus makes itself."""

# On /metrics for who looks closer; the overview and its alerts do without them.
NOT_SHOWN: dict[str, tuple[str, ...]] = {
    "how a pool came to be full: for a look at pools alone": (
        "db.client.connection.create_time",
        "db.client.connection.idle.max",
        "db.client.connection.use_time",
        "ha.pool.checkins",
        "ha.pool.checkouts",
        "ha.pool.closes",
        "ha.pool.collected",
        "ha.pool.connect.failures",
        "ha.pool.connections.detached",
        "ha.pool.connections.disposed",
        "ha.pool.connections.overflow",
        "ha.pool.connects",
        "ha.pool.detached",
        "ha.pool.disconnects",
        "ha.pool.invalidations",
        "ha.pool.listener.errors",
        "ha.pool.pre_ping.failures",
        "ha.pool.read_only.errors",
        "ha.pool.server.connections",
        "ha.pool.waits.cancelled",
    ),
    "one PostgreSQL server in detail": (
        "ha.postgres.connections.reserved",
        "ha.postgres.info",
        "ha.postgres.locks.waiting",
        "ha.postgres.start.time",
        "ha.postgres.transaction.idle.age.max",
    ),
    "replication as its ends see it: the overview has the lag between them": (
        "ha.postgres.replication.sender.lag",
        "ha.postgres.replication.standbys",
        "ha.postgres.wal.receiver.message.age",
        "ha.postgres.wal.replay.transaction.age",
    ),
    "one Redis server in detail": (
        "ha.redis.clients",
        "ha.redis.clients.max",
        "ha.redis.cluster.masters",
        "ha.redis.commands",
        "ha.redis.connections.rejected",
        "ha.redis.info",
        "ha.redis.keys",
        "ha.redis.keys.evicted",
        "ha.redis.loading",
        "ha.redis.memory.max",
        "ha.redis.persistence.ok",
        "ha.redis.replication.last_io.age",
        "ha.redis.replication.link.down.time",
        "ha.redis.replication.offset",
        "ha.redis.replication.replicas",
        "ha.redis.replication.replicas.good",
        "ha.redis.replication.sync_in_progress",
        "ha.redis.uptime",
    ),
    "the exporter and the controller themselves": (
        "ha.exporter.info",
        "ha.exporter.start.time",
        "ha.failover.incidents",
        "ha.failover.journal.entries",
        "ha.failover.observation.duration",
        "ha.failover.primary.timestamp",
        "ha.failover.webhook.alerts",
        "ha.failover.webhook.requests",
        "ha.failover.webhook.truncated",
        "ha.probe.duration",
        "ha.probe.success",
        "ha.scrape.duration",
    ),
    "its meaning is in ha.target.state": ("ha.http.response.status_code",),
    "the inside of a server: for a board about servers": (
        "cpython.gc.collected_objects",
        "cpython.gc.collections",
        "cpython.gc.uncollectable_objects",
        "ha.build.info",
        "ha.event_loop.lag",
        "ha.event_loop.lag.max",
        "ha.gc.pause",
        "ha.health.check.age",
        "ha.health.check.duration",
        "ha.health.check.error",
        "ha.health.check.failures",
        "ha.health.check.runs",
        "ha.health.check.success",
        "ha.health.state",
        "ha.http.server.exceptions",
        "ha.http.server.oldest_request.age",
        "ha.http.server.time_to_first_byte",
        "ha.instrumentation.errors",
        "ha.process.file_descriptor.limit",
        "ha.process.file_descriptor.utilization",
        "ha.process.start.time",
        "ha.websocket.active_connections",
        "ha.websocket.connection.duration",
        "ha.worker.starts",
        "ha.worker.up",
        "http.server.active_requests",
        "http.server.request.duration",
        "process.context_switches",
        "process.cpu.time",
        "process.memory.usage",
        "process.memory.virtual",
        "process.paging.faults",
        "process.thread.count",
        "process.unix.file_descriptor.count",
        "process.uptime",
    ),
}


def names(metric: Metric) -> set[str]:
    """The names of its series."""
    if metric.kind == "histogram":
        return {f"{metric.prometheus_name}_{suffix}" for suffix in ("bucket", "sum", "count")}
    return {metric.prometheus_name}


KNOWN = {name: metric for metric in catalogue.metrics() for name in names(metric)}


def of_alerts() -> Iterator[tuple[str, str]]:
    """Every expression of an alert, of its texts' queries and of its runbook, with where it stands."""
    for alert in ALERTS:
        yield f"alert {alert.name}", alert.fill(alert.expr)
        yield from ((f"runbook of {alert.name}", expression) for expression in series(text(alert)))


def of_dashboards() -> Iterator[tuple[str, str]]:
    """Every expression of a dashboard, with where it stands."""
    for name, board in files().items():
        if not name.endswith(".json"):
            continue
        model = json.loads(board)
        inside = [panel for each in model["panels"] for panel in (each.get("panels") or [each])]
        for panel in inside:
            yield from ((f"{name}: {panel['title']}", target["expr"]) for target in panel.get("targets", []))
        yield from ((f"{name}: {each['name']}", each["expr"]) for each in model["annotations"]["list"])


EVERYWHERE = [*of_alerts(), *of_dashboards()]


@pytest.mark.parametrize(("place", "expression"), EVERYWHERE, ids=[place for place, _ in EVERYWHERE])
def test_every_series_exists(place: str, expression: str) -> None:
    """An alert on a name that nobody exports can never fire."""
    unknown = {selector.name for selector in selectors(expression)}.difference(KNOWN, OF_PROMETHEUS)
    assert not unknown, f"{place} asks for {unknown}"


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_every_alert_is_whole(alert: Alert) -> None:
    """Its dashboard, its runbook, its proof and its drill exist, and its links lead there."""
    assert alert.dashboard in {board.uid for board in DASHBOARDS}
    assert f"\n## {alert.name}\n" in page()
    assert text(alert)
    assert alert in [proof.alert for proofs in PROOFS.values() for proof in proofs]
    assert alert.drill in {"", *(fault.name for fault in FAULTS)}
    links = rule_annotations(alert, LINKS)
    assert links["runbook_url"] == f"{LINKS.runbooks_url}#{alert.anchor}"
    assert links["dashboard"].startswith(f"/d/{alert.dashboard}")


def test_only_the_watchdog_needs_no_drill() -> None:
    """Whatever else is said about a fault is shown with that fault."""
    assert [alert.name for alert in ALERTS if not alert.drill] == ["HaWatchdog"]


def test_every_metric_is_shown_or_has_a_reason() -> None:
    """What is measured is on a board, in an alert, or not, by decision."""
    shown = {selector.name for _, expression in EVERYWHERE for selector in selectors(expression)}
    unshown = {metric.name for metric in catalogue.metrics() if not names(metric) & shown}
    in_texts = {given.metric.name for proofs in PROOFS.values() for proof in proofs for given in proof.series}
    assert sorted(unshown - in_texts) == sorted(name for reason in NOT_SHOWN.values() for name in reason)
