"""Which timeline PostgreSQL writes or follows. A question of its own: it needs a right that the role's does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from observability.metrics import Metric, Sample
from observability.probes.probe import Probe

TIMELINE = Metric(
    name="ha.postgres.timeline",
    kind="gauge",
    help="Timeline that the server writes or follows; a promotion makes it one higher.",
)

# The control file learns of a new timeline only at the next checkpoint; the names of the WAL segments know it at once.
# A standby's receiver knows it too; the directory is read only where there is none, but PostgreSQL checks the right to
# read it before it begins.
QUERY = """
SELECT CASE WHEN pg_is_in_recovery()
            THEN coalesce((SELECT received_tli FROM pg_stat_wal_receiver),
                          (SELECT max(('x' || left(name, 8))::bit(32)::int4) FROM pg_ls_waldir()
                           WHERE name ~ '^[0-9A-F]{24}$'))
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int4
       END AS timeline
"""


def read(rows: Sequence[Mapping[str, Any]]) -> Iterator[Sample]:
    """The one row."""
    yield from TIMELINE.known(rows[0]["timeline"])


METRICS = (TIMELINE,)
PROBE = Probe("postgres.timeline", "postgres", QUERY, read, METRICS)
