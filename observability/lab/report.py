"""What must be seen in Prometheus of each piece, as data: expressions that give a series only while all is well."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from observability.alerts import ALERTS
from observability.errors import LabError
from observability.failover import signals
from observability.instrumentation.pool import metrics as pool
from observability.lab.applications import SERVERS
from observability.lab.monitoring import Job
from observability.lab.prometheus import Prometheus
from observability.lab.site import CLUSTER
from observability.probes import http
from observability.probes.cluster import LAG
from observability.probes.postgres import activity, replication, server
from observability.probes.redis import replication as redis_replication
from observability.probes.redis import server as redis_server
from observability.scrape import UP

_WINDOW = "[10s]"
_POLL_SECONDS = 0.25


class Check(NamedTuple):
    """
    What must be seen of a piece.

    `figures` are expressions by what they mean. Each must give a value; a comparison in it gives one only if it holds.
    """

    piece: str
    expected: str
    figures: Mapping[str, str]


class Finding(NamedTuple):
    """What was seen of a piece; `problem` is empty when it is what was expected."""

    piece: str
    expected: str
    seen: str
    problem: str = ""


def checks(jobs: Iterable[Job]) -> tuple[Check, ...]:
    """The checks of every piece; of those that need not be installed, only if Prometheus scrapes them."""
    absent = {"haproxy", "alertmanager"}.difference(job.name for job in jobs)
    found = (
        _postgres("pg-1", "primary", "flushed", {}),
        _postgres("pg-2", "standby", "replayed", {"lag s": f"{LAG.prometheus_name}{{{_of('pg-2')}}} < 5"}),
        _redis("redis-1", "master", {"replicas": f"{redis_replication.REPLICAS.prometheus_name}{{{_of('redis-1')}}} >= 1"}),
        _redis("redis-2", "replica", {"link": f"{redis_replication.LINK_UP.prometheus_name}{{{_of('redis-2')}}} == 1"}),
        *(_server(name) for name in SERVERS),
        Check("haproxy", "sends requests to both servers", {
            "servers": 'haproxy_backend_active_servers{proxy="servers"} == 2',
            "requests/s": f'irate(haproxy_frontend_http_requests_total{{proxy="web"}}{_WINDOW}) > 0',
        }),
        Check("exporter", "scraped, with samples", {
            "up": 'up{job="ha-exporter"} == 1',
            "samples": 'scrape_samples_scraped{job="ha-exporter"} > 0',
            "scrape s": 'scrape_duration_seconds{job="ha-exporter"}',
        }),
        Check("controller", "observes; the watchdog reaches it", {
            "up": 'up{job="ha-controller"} == 1',
            "observe": f'{signals.MODE.prometheus_name}{{mode="observe"}} == 1',
            "watchdog age s": f"time() - {signals.WATCHDOG.prometheus_name} < 60",
        }),
        Check("prometheus", "evaluates every rule", {
            "up": 'up{job="prometheus"} == 1',
            "rules": f"sum(prometheus_rule_group_rules) == {len(ALERTS)}",
            "failed": "sum(prometheus_rule_evaluation_failures_total) == 0",
        }),
        Check("alertmanager", "delivers to the controller", {
            "up": 'up{job="alertmanager"} == 1',
            "config": "alertmanager_config_last_reload_successful == 1",
            "webhooks": 'alertmanager_notifications_total{integration="webhook"} > 0',
            "failed": 'sum(alertmanager_notifications_failed_total{integration="webhook"}) == 0',
        }),
    )  # fmt: skip
    return tuple(check for check in found if check.piece not in absent)


def examine(prometheus: Prometheus, wanted: Iterable[Check], *, timeout_seconds: float) -> list[Finding]:
    """Look until everything is as expected or the time is over; the last look counts."""
    deadline = time.monotonic() + timeout_seconds
    wanted = tuple(wanted)
    while True:
        findings = [_look(prometheus, check) for check in wanted]
        if not any(finding.problem for finding in findings) or time.monotonic() > deadline:
            return findings
        time.sleep(_POLL_SECONDS)


def _look(prometheus: Prometheus, check: Check) -> Finding:
    seen, absent = [], []
    for meaning, expression in check.figures.items():
        try:
            series = prometheus.query(expression)
        except LabError as error:
            return Finding(check.piece, check.expected, "", str(error))
        if series:
            seen.append(f"{meaning} {series[0].value:.4g}")
        else:
            absent.append(f"no answer to {expression}")
    return Finding(check.piece, check.expected, ", ".join(seen), "; ".join(absent))


def _of(name: str) -> str:
    return f'cluster="{CLUSTER}",server="{name}"'


def _postgres(name: str, role: str, stage: str, more: Mapping[str, str]) -> Check:
    of = _of(name)
    return Check(name, f"{role}, WAL moves", {
        "up": f"{UP.prometheus_name}{{{of}}} == 1",
        role: f'{server.ROLE.prometheus_name}{{{of},role="{role}"}} == 1',
        "WAL B/s": f'deriv({replication.WAL_POSITION.prometheus_name}{{{of},stage="{stage}"}}{_WINDOW}) > 0',
        "connections": f"sum({activity.CONNECTIONS.prometheus_name}{{{of}}}) > 0",
        **more,
    })  # fmt: skip


def _redis(name: str, role: str, more: Mapping[str, str]) -> Check:
    of = _of(name)
    return Check(name, f"{role}, commands counted", {
        "up": f"{UP.prometheus_name}{{{of}}} == 1",
        role: f'{redis_replication.ROLE.prometheus_name}{{{of},role="{role}"}} == 1',
        "commands/s": f"irate({redis_server.COMMANDS.prometheus_name}{{{of}}}{_WINDOW}) > 0",
        **more,
    })  # fmt: skip


def _server(name: str) -> Check:
    of = _of(name)
    return Check(name, "healthy, its pool is used", {
        "up": f'{UP.prometheus_name}{{{of},system="http"}} == 1',
        "status": f"{http.STATUS_CODE.prometheus_name}{{{of}}} == 200",
        "checkouts/s": f"sum(irate({pool.CHECKOUTS.prometheus_name}{{{of}}}{_WINDOW})) > 0",
        "connections": f"sum({pool.COUNT.prometheus_name}{{{of}}}) > 0",
        "most": f"sum({pool.MAX.prometheus_name}{{{of}}}) > 0",
    })  # fmt: skip
