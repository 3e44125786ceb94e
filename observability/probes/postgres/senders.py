"""Streaming replication as the server that sends it sees it: one row of pg_stat_replication for each receiver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from observability.errors import Reason, TargetError
from observability.metrics import Metric, Sample
from observability.probes.probe import Probe

STAGES = ("sent", "write", "flush", "replay")
SYNC_STATES = ("async", "potential", "quorum", "sync")

STANDBYS = Metric(
    name="ha.postgres.replication.standbys",
    kind="gauge",
    unit="{standby}",
    help="Receivers that stream from this server, by sync state; 0 means that nobody gets its WAL.",
    labels=("sync_state",),
)
SENDER_BACKLOG = Metric(
    name="ha.postgres.replication.sender.backlog",
    kind="gauge",
    unit="By",
    help="WAL that this server has and the receiver has not yet got (sent), written, flushed or replayed.",
    labels=("stage", "standby"),
)
SENDER_LAG = Metric(
    name="ha.postgres.replication.sender.lag",
    kind="gauge",
    unit="s",
    help="Time until recent WAL was written, flushed or replayed by the receiver; absent once it is idle and up to date.",
    labels=("stage", "standby"),
)

# Two receivers may share an application_name: the one that is further behind counts, so that no page has duplicates.
# A cascading standby sends what it has received, so its own position is that one.
# Without pg_monitor all columns are NULL: a sender without a state is one that is hidden from us.
QUERY = """
WITH here AS (
  SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_flush_lsn() END AS lsn
)
SELECT application_name AS standby,
       count(*) FILTER (WHERE state IS NULL) AS hidden,
       count(*) FILTER (WHERE state = 'streaming' AND sync_state = 'async') AS async,
       count(*) FILTER (WHERE state = 'streaming' AND sync_state = 'potential') AS potential,
       count(*) FILTER (WHERE state = 'streaming' AND sync_state = 'quorum') AS quorum,
       count(*) FILTER (WHERE state = 'streaming' AND sync_state = 'sync') AS sync,
       max(here.lsn - sent_lsn)::float8 AS sent_bytes,
       max(here.lsn - write_lsn)::float8 AS write_bytes,
       max(here.lsn - flush_lsn)::float8 AS flush_bytes,
       max(here.lsn - replay_lsn)::float8 AS replay_bytes,
       max(extract(epoch FROM write_lag))::float8 AS write_seconds,
       max(extract(epoch FROM flush_lag))::float8 AS flush_seconds,
       max(extract(epoch FROM replay_lag))::float8 AS replay_seconds
FROM pg_stat_replication, here
WHERE state IS NULL OR state IN ('streaming', 'catchup')
GROUP BY application_name
ORDER BY replay_bytes DESC NULLS LAST
LIMIT 64
"""


def read(rows: Sequence[Mapping[str, Any]]) -> Iterator[Sample]:
    """
    One row for each receiver's name; none means that nobody streams.

    Raises:
        TargetError: when there are senders, but the server hides them from our role.

    """
    if any(row["hidden"] for row in rows):
        raise TargetError(Reason.PERMISSION, "pg_stat_replication is hidden: grant pg_monitor to the exporter's role")
    for state in SYNC_STATES:
        yield STANDBYS.sample(sum(row[state] for row in rows), state)
    for row in rows:
        for stage in STAGES:
            backlog = row[f"{stage}_bytes"]
            # The receiver may have reported a position that is newer than ours was a moment ago.
            yield from SENDER_BACKLOG.known(None if backlog is None else max(0.0, backlog), stage, row["standby"])
            if stage != "sent":
                yield from SENDER_LAG.known(row[f"{stage}_seconds"], stage, row["standby"])


METRICS = (STANDBYS, SENDER_BACKLOG, SENDER_LAG)
PROBE = Probe("postgres.senders", "postgres", QUERY, read, METRICS)
