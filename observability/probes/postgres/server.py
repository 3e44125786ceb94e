"""Which PostgreSQL this is: version, start, role, system identifier."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from observability.metrics import Metric, Sample
from observability.probes.probe import Probe

ROLES = ("primary", "standby")

INFO = Metric(
    name="ha.postgres.info",
    kind="gauge",
    help="Always 1; its labels say which version runs and which cluster the data directory belongs to.",
    labels=("system_identifier", "version"),
)
START_TIME = Metric(
    name="ha.postgres.start.time",
    kind="gauge",
    unit="s",
    help="When the postmaster started, in seconds since the epoch.",
    compat="pg_postmaster_start_time_seconds",
)
ROLE = Metric(
    name="ha.postgres.role",
    kind="gauge",
    help="1 for the role that the server has now, 0 for the other; a standby is in recovery.",
    labels=("role",),
)

QUERY = """
SELECT current_setting('server_version') AS version,
       extract(epoch FROM pg_postmaster_start_time())::float8 AS started,
       pg_is_in_recovery() AS in_recovery,
       (SELECT system_identifier FROM pg_control_system())::text AS system_identifier
"""


def read(rows: Sequence[Mapping[str, Any]]) -> Iterator[Sample]:
    """The samples of the one row."""
    row = rows[0]
    yield INFO.sample(1, row["system_identifier"], str(row["version"]).split(" ", 1)[0])
    yield START_TIME.sample(row["started"])
    yield from ROLE.states("standby" if row["in_recovery"] else "primary", ROLES)


METRICS = (INFO, START_TIME, ROLE)
PROBE = Probe("postgres.server", "postgres", QUERY, read, METRICS)
