"""Who is connected to PostgreSQL and for how long they have held on: sessions by state, against the limit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from observability.errors import Reason, TargetError
from observability.metrics import Metric, Sample
from observability.probes.probe import Probe

STATES = (
    "active",
    "disabled",
    "fastpath function call",
    "idle",
    "idle in transaction",
    "idle in transaction (aborted)",
    "unknown",
)

CONNECTIONS = Metric(
    name="ha.postgres.connections",
    kind="gauge",
    unit="{connection}",
    help="Client sessions by state, as pg_stat_activity names it; those of the exporter itself are counted too.",
    labels=("state",),
)
CONNECTIONS_MAX = Metric(
    name="ha.postgres.connections.max",
    kind="gauge",
    unit="{connection}",
    help="Setting max_connections.",
    compat="pg_settings_max_connections",
)
CONNECTIONS_RESERVED = Metric(
    name="ha.postgres.connections.reserved",
    kind="gauge",
    unit="{connection}",
    help="Connections out of max_connections that ordinary roles cannot take (superuser_reserved_connections and, "
    "from version 16, reserved_connections).",
)
TRANSACTION_AGE = Metric(
    name="ha.postgres.transaction.age.max",
    kind="gauge",
    unit="s",
    help="Age of the oldest open transaction of a client, the exporter's own left out; 0 when none is open.",
)
IDLE_TRANSACTION_AGE = Metric(
    name="ha.postgres.transaction.idle.age.max",
    kind="gauge",
    unit="s",
    help="How long the client that sits idle in a transaction has done so; 0 when none does.",
)
LOCK_WAITERS = Metric(
    name="ha.postgres.locks.waiting",
    kind="gauge",
    unit="{session}",
    help="Client sessions that wait for a heavyweight lock.",
)

# Without pg_monitor nearly all columns of other roles' sessions are NULL, even their backend_type: such sessions are
# counted as "unknown" and the rest stays absent.
QUERY = """
SELECT coalesce(state, 'unknown') AS state,
       count(*) AS connections,
       count(*) FILTER (WHERE backend_type IS NULL) AS hidden,
       max(extract(epoch FROM clock_timestamp() - xact_start)
           ) FILTER (WHERE pid <> pg_backend_pid())::float8 AS transaction_age,
       max(extract(epoch FROM clock_timestamp() - state_change)
           ) FILTER (WHERE state LIKE 'idle in transaction%')::float8 AS idle_transaction_age,
       count(*) FILTER (WHERE wait_event_type = 'Lock') AS lock_waiters,
       current_setting('max_connections')::int AS max_connections,
       current_setting('superuser_reserved_connections')::int
         + coalesce(current_setting('reserved_connections', true)::int, 0) AS reserved_connections
FROM pg_stat_activity
WHERE backend_type = 'client backend' OR (backend_type IS NULL AND datid IS NOT NULL AND usesysid IS NOT NULL)
GROUP BY 1
"""


def read(rows: Sequence[Mapping[str, Any]]) -> Iterator[Sample]:
    """
    One row for each state that occurs; our own session makes sure that there is one.

    Raises:
        TargetError: after what is known, when the server hides other roles' sessions from ours.

    """
    counts = {row["state"]: row["connections"] for row in rows}
    for state in STATES:
        yield CONNECTIONS.sample(counts.get(state, 0), state)
    yield CONNECTIONS_MAX.sample(rows[0]["max_connections"])
    yield CONNECTIONS_RESERVED.sample(rows[0]["reserved_connections"])
    if any(row["hidden"] for row in rows):
        raise TargetError(
            Reason.PERMISSION, "other roles' sessions are hidden: grant pg_monitor to the exporter's role"
        )
    yield TRANSACTION_AGE.sample(max(row["transaction_age"] or 0.0 for row in rows))
    yield IDLE_TRANSACTION_AGE.sample(max(row["idle_transaction_age"] or 0.0 for row in rows))
    yield LOCK_WAITERS.sample(sum(row["lock_waiters"] for row in rows))


METRICS = (
    CONNECTIONS,
    CONNECTIONS_MAX,
    CONNECTIONS_RESERVED,
    TRANSACTION_AGE,
    IDLE_TRANSACTION_AGE,
    LOCK_WAITERS,
)
PROBE = Probe("postgres.activity", "postgres", QUERY, read, METRICS)
