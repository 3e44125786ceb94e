"""What the controller asks a PostgreSQL server, and how the answer becomes a `NodeView`: pure, like a probe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from observability.errors import Reason
from observability.failover.model import NodeView
from observability.probes.probe import Answer, Failure

# One statement, so that all of it is from one instant.
#
# The control file learns of a new timeline only at the next checkpoint, which after a promotion may be minutes away:
# the names of the WAL segments know it at once, on both roles.
# What is not flushed was neither acknowledged nor sent, so a primary's position is what it has flushed.
# The received position starts again at the beginning of a segment when a receiver is restarted: what was replayed was
# surely received.
QUESTION = """
SELECT pg_is_in_recovery() AS in_recovery,
       (SELECT system_identifier FROM pg_control_system())::text AS system_identifier,
       CASE WHEN pg_is_in_recovery()
            THEN greatest(receiver.received_tli,
                          (SELECT max(('x' || left(name, 8))::bit(32)::int4) FROM pg_ls_waldir()
                           WHERE name ~ '^[0-9A-F]{24}$'))
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int4 END AS timeline,
       CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn() - '0/0'::pg_lsn END::int8 AS current_lsn,
       CASE WHEN pg_is_in_recovery()
            THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0'::pg_lsn END::int8 AS received_lsn,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() - '0/0'::pg_lsn END::int8 AS replayed_lsn,
       CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END AS replay_paused,
       CASE WHEN pg_is_in_recovery() THEN receiver.pid IS NOT NULL END AS receiving,
       extract(epoch FROM clock_timestamp() - receiver.last_msg_receipt_time)::float8 AS heard_seconds,
       ARRAY(SELECT DISTINCT application_name::text FROM pg_stat_replication
             WHERE state = 'streaming' AND sync_state IN ('sync', 'quorum') ORDER BY 1) AS synchronous
FROM (VALUES (1)) AS one
LEFT JOIN pg_stat_wal_receiver AS receiver ON true
"""


def read(node: str, at: float, seconds: float, outcome: Answer | Failure) -> NodeView:
    """The view of `node` that an outcome of `QUESTION` gives; `at` is when the look at it began."""
    if isinstance(outcome, Failure):
        return NodeView(node=node, at=at, seconds=seconds, reason=outcome.reason, detail=outcome.message)
    rows: Sequence[Mapping[str, Any]] = outcome.value
    if len(rows) != 1:
        detail = f"{len(rows)} rows instead of one"
        return NodeView(node=node, at=at, seconds=seconds, reason=Reason.PROTOCOL, detail=detail)
    known = dict(rows[0])
    synchronous = tuple(known.pop("synchronous") or ())
    return NodeView(node=node, at=at, seconds=seconds, reason=Reason.OK, synchronous=synchronous, **known)
