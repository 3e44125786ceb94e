"""
Streaming replication as a standby sees it: what it has received and replayed, and whether anything still arrives.

Lag against the primary needs both ends in one look; `observability.probes.cluster` computes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from observability.errors import Reason, TargetError
from observability.metrics import Metric, Sample
from observability.probes.probe import Probe

WAL_POSITION = Metric(
    name="ha.postgres.wal.position",
    kind="gauge",
    unit="By",
    help="WAL position as bytes since the cluster began: flushed on a primary, received and replayed on a standby.",
    labels=("stage",),
)
RECEIVER_STREAMING = Metric(
    name="ha.postgres.wal.receiver.streaming",
    kind="gauge",
    help="1 while the standby's WAL receiver is connected and streaming; 0 otherwise; absent on a primary.",
)
RECEIVER_MESSAGE_AGE = Metric(
    name="ha.postgres.wal.receiver.message.age",
    kind="gauge",
    unit="s",
    help="Time since the standby last heard from its sender; absent without a receiver. A frozen primary shows here first.",
)
REPLAY_PAUSED = Metric(
    name="ha.postgres.wal.replay.paused",
    kind="gauge",
    help="1 while replay on the standby is paused or asked to pause; absent on a primary.",
)
REPLAYED_AGE = Metric(
    name="ha.postgres.wal.replay.transaction.age",
    kind="gauge",
    unit="s",
    help="Age of the last transaction that the standby replayed; grows on an idle primary too, so it is not the lag.",
)

# Without pg_monitor the receiver's row is there, but all of its columns are NULL except pid.
QUERY = """
SELECT pg_is_in_recovery() AS in_recovery,
       CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn() - '0/0'::pg_lsn END::float8 AS flushed,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() - '0/0'::pg_lsn END::float8 AS received,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() - '0/0'::pg_lsn END::float8 AS replayed,
       CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END AS paused,
       extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8 AS replayed_age,
       receiver.pid IS NOT NULL AS receiver_runs,
       receiver.status AS receiver_status,
       extract(epoch FROM clock_timestamp() - receiver.last_msg_receipt_time)::float8 AS message_age
FROM (VALUES (1)) AS one
LEFT JOIN pg_stat_wal_receiver AS receiver ON true
"""


def read(rows: Sequence[Mapping[str, Any]]) -> Iterator[Sample]:
    """
    The one row; what the server does not know stays absent.

    Raises:
        TargetError: after what is known, when the server hides its WAL receiver from our role.

    """
    row = rows[0]
    yield from WAL_POSITION.known(row["flushed"], "flushed")
    yield from WAL_POSITION.known(row["received"], "received")
    yield from WAL_POSITION.known(row["replayed"], "replayed")
    if not row["in_recovery"]:
        return
    yield from REPLAY_PAUSED.known(row["paused"])
    yield from REPLAYED_AGE.known(row["replayed_age"])
    if row["receiver_runs"] and row["receiver_status"] is None:
        raise TargetError(Reason.PERMISSION, "pg_stat_wal_receiver is hidden: grant pg_monitor to the exporter's role")
    yield RECEIVER_STREAMING.sample(float(row["receiver_status"] == "streaming"))
    yield from RECEIVER_MESSAGE_AGE.known(row["message_age"])


METRICS = (WAL_POSITION, RECEIVER_STREAMING, RECEIVER_MESSAGE_AGE, REPLAY_PAUSED, REPLAYED_AGE)
PROBE = Probe("postgres.replication", "postgres", QUERY, read, METRICS)
