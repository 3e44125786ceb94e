"""HA Overview: are users hurt, who is primary, is there redundancy left, did it just fail over; in five seconds."""

from __future__ import annotations

from observability.alerts import meta, pools, postgres, targets
from observability.alerts.alert import SEVERITY_LABEL
from observability.dashboards.panel import Board, Colour, Column, Event, Limit, Panel, Query, Row, State
from observability.dashboards.query import each, of_cluster, of_servers, of_stack
from observability.dashboards.vocabulary import (
    Drawn,
    alert_list,
    figure,
    level,
    name,
    quantile,
    rate,
    saturation,
    table,
    timeline,
    verdict,
)
from observability.failover.signals import DECISIONS, MODE, WATCHDOG
from observability.instrumentation.pool.metrics import COUNT, MAX, OPENING, PENDING, TIMEOUTS, WAIT_TIME
from observability.metrics import Metric
from observability.probes import http
from observability.probes.cluster import BACKLOG, LAG, PRIMARIES, REDIS_BACKLOG, TARGETS
from observability.probes.postgres.activity import CONNECTIONS, CONNECTIONS_MAX, TRANSACTION_AGE
from observability.probes.postgres.replication import RECEIVER_STREAMING
from observability.probes.postgres.server import ROLE
from observability.probes.postgres.timeline import TIMELINE
from observability.probes.redis.replication import LINK_UP
from observability.probes.redis.replication import ROLE as REDIS_ROLE
from observability.probes.redis.server import MEMORY_USED
from observability.scrape import STATE, UP

_ONE_OR_MORE = (Limit(1, Colour.GOOD),)
_PER_POOL = f"server, {pools.POOL}"

_PRIMARIES = f"max({of_cluster(PRIMARIES)})"
_IS_PRIMARY = of_cluster(ROLE, role="primary")


def _seen(metric: Metric, system: str) -> str:
    """How many servers say 1; 0 only while an exporter tells how many there should be, and unknown otherwise."""
    return f"sum({each('server', of_cluster(metric))}) or 0 * {_configured(system)}"


def _configured(system: str) -> str:
    return f"max({of_cluster(TARGETS, system=system)})"


def _redundancy(title: str, help_: str, metric: Metric, system: str) -> Panel:
    have = Query(_seen(metric, system), "now")
    want = Query(f"{_configured(system)} - 1", "wanted")
    return figure(title, help_, have, want, base=Colour.BAD, limits=_ONE_OR_MORE)


_VERDICT = (
    f"({_PRIMARIES} == bool 1) * (1 + (({_seen(RECEIVER_STREAMING, 'postgres')}) > bool 0) "
    f"* (1 + min({each('server', of_cluster(UP))}))) - ({_PRIMARIES} > bool 1)"
)

# While the watchdog fires the rules are evaluated, and no page means none; without it nobody knows.
_PAGES = (
    f'count(ALERTS{{cluster="$cluster", alertstate="firing", {SEVERITY_LABEL}="page"}}) '
    f'or 0 * max(ALERTS{{alertname="{meta.WATCHDOG.name}", alertstate="firing"}})'
)

NOW = Row(
    "Now",
    (
        verdict(
            "Stack",
            "The worst that is true of the cluster: no or several primaries, no standby that streams, a target that does "
            "not answer, or none of these.",
            Query(_VERDICT),
            State(-1, "SPLIT BRAIN", Colour.BAD),
            State(0, "NO PRIMARY", Colour.BAD),
            State(1, "NO STANDBY", Colour.BAD),
            State(2, "DEGRADED", Colour.WARNING),
            State(3, "OK", Colour.GOOD),
            width=4,
            alerts=(postgres.NO_PRIMARY, postgres.SPLIT_BRAIN),
        ),
        name(
            "Primary",
            "The PostgreSQL server that takes writes; several names are a split brain.",
            Query(f"{each('server', _IS_PRIMARY)} == 1", "{{server}}"),
            empty="NONE",
            width=4,
        ),
        figure(
            "Promotions",
            "By how many the cluster's timeline rose in the time shown: each promotion makes it one higher.",
            Query(f"max({of_cluster(TIMELINE)}) - min_over_time(max({of_cluster(TIMELINE)})[$__range:30s])"),
            limits=(Limit(1, Colour.NOTICE),),
        ),
        _redundancy(
            "Standbys streaming",
            "Standbys that receive WAL now, and how many there would be if every server but one were a standby.",
            RECEIVER_STREAMING,
            "postgres",
        ),
        _redundancy(
            "Redis replicas linked",
            "Replicas whose link to their master is up, and how many there would be if every server but one were a replica.",
            LINK_UP,
            "redis",
        ),
        figure(
            "Servers that answer",
            "HTTP targets whose health endpoint answers as it should, and how many are configured.",
            Query(f"sum({each('server', of_cluster(UP, system='http'))})", "now"),
            Query(_configured("http"), "configured"),
            base=Colour.BAD,
            limits=_ONE_OR_MORE,
            width=4,
        ),
        figure(
            "Pages firing",
            "Alerts of this cluster that should wake somebody; unknown when the rules themselves are not evaluated.",
            Query(_PAGES),
            base=Colour.GOOD,
            limits=(Limit(1, Colour.BAD),),
        ),
    ),
)

WHO = Row(
    "Who is who",
    (
        timeline(
            "Roles",
            "What each server was over time; a gap is a time in which the exporter itself was not there.",
            *(
                Query(
                    f"{each('server', f'{least} + {is_first}')} "
                    f"or {each('server', of_servers(UP, system=system))} == 0",
                    "{{server}}",
                )
                for system, is_first, least in (
                    ("postgres", of_servers(ROLE, role="primary"), 1),
                    ("redis", of_servers(REDIS_ROLE, role="master"), 3),
                )
            ),
            Query(f"5 * {each('server', of_servers(UP, system='http'))}", "{{server}}"),
            states=(
                State(0, "DOWN", Colour.BAD),
                State(1, "STANDBY", Colour.NOTICE),
                State(2, "PRIMARY", Colour.GOOD),
                State(3, "REPLICA", Colour.NOTICE),
                State(4, "MASTER", Colour.GOOD),
                State(5, "UP", Colour.GOOD),
            ),
            height=9,
        ),
        alert_list("Alerts", "Alerts of this cluster that fire or are about to.", height=9),
    ),
)

REPLICATION = Row(
    "Replication",
    (
        level("PostgreSQL lag", LAG, Drawn(postgres.REPLICATION_LAG, "lag")),
        level("PostgreSQL backlog", BACKLOG),
        level("Redis backlog", REDIS_BACKLOG),
    ),
)

POOLS = Row(
    "Connection pools",
    (
        saturation(
            "Pool places taken",
            "Share of each pool's places that are taken, overflow and connections that are being opened included.",
            pools.taken(of_servers(COUNT, **{pools.STATE: "used"}), of_servers(OPENING), of_servers(MAX)),
            Drawn(pools.EXHAUSTED, "taken"),
            by=_PER_POOL,
            width=6,
        ),
        level("Requests waiting", PENDING, by=_PER_POOL, width=6),
        quantile(
            "Wait for a connection, p99",
            WAIT_TIME,
            0.99,
            by=_PER_POOL,
            width=6,
            may_be_empty="no request in the window",
        ),
        rate("Pool timeouts", TIMEOUTS, by=_PER_POOL, width=6),
    ),
)

SERVERS = Row(
    "Servers",
    (
        saturation(
            "PostgreSQL connections",
            "Sessions as a share of max_connections.",
            f"sum without (state) ({of_servers(CONNECTIONS)}) / {of_servers(CONNECTIONS_MAX)}",
            width=6,
        ),
        level("Oldest transaction", TRANSACTION_AGE, width=6),
        level("Redis memory", MEMORY_USED, width=6),
        level("HTTP response time", http.DURATION, width=6),
        table(
            "Targets",
            "Every target of the exporter: whether it answers, why not, and its part.",
            Query(each("server, state", f"{of_servers(STATE)} == 1")),
            Query(each("server, system, zone", of_servers(UP))),
            Query(each("server, role", f"{of_servers(ROLE)} == 1 or {of_servers(REDIS_ROLE)} == 1")),
            Query(each("server", of_servers(LAG))),
            columns=(
                Column("server", "Server"),
                Column("system", "System"),
                Column("zone", "Zone"),
                Column("state", "State", states=(State("ok", "", Colour.GOOD), State("*", "", Colour.BAD))),
                Column("role", "Role"),
                Column("Value #D", "Lag", "s"),
            ),
            alerts=(targets.TARGET_DOWN,),
        ),
    ),
)

CONTROLLER = Row(
    "Failover controller",
    (
        name(
            "Controller mode",
            "How far the controller may go; in off and observe nothing fails over by itself.",
            Query(f"{each('mode', of_stack(MODE))} == 1", "{{mode}}"),
            empty="NO CONTROLLER",
            width=4,
        ),
        figure(
            "Watchdog seen",
            "Time since an alert last arrived at the controller; when it is old, none would arrive.",
            Query(f"time() - max({of_stack(WATCHDOG)})"),
            unit="s",
            base=Colour.GOOD,
            limits=(Limit(120, Colour.BAD),),
            empty="NEVER",
            width=4,
            alerts=(meta.WATCHDOG,),
        ),
        figure(
            "Controller decisions",
            "What the controller decided in the time shown, by reason; a decision that repeats the last one is not counted.",
            Query(
                f"sum by (outcome, reason) (increase({of_cluster(DECISIONS)}[$__range])) > 0",
                "{{outcome}}: {{reason}}",
            ),
            empty="none",
            width=16,
            may_be_empty="no alert asked for a decision",
        ),
    ),
)

BOARD = Board(
    uid="ha-overview",
    title="HA Overview",
    question="Are users hurt, who is primary, is there redundancy left, did it just fail over?",
    rows=(NOW, WHO, REPLICATION, POOLS, SERVERS, CONTROLLER),
    events=(
        Event(
            "Promotion",
            f"{_IS_PRIMARY} == 1 and on (server) {_IS_PRIMARY} offset $__interval == 0",
            "{{server}} became primary",
            Colour.NOTICE,
        ),
    ),
)
