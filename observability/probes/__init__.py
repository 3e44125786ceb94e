"""What is asked of each kind of target: this table. A new probe is its file, its test and one line here."""

from __future__ import annotations

from observability.probes import http
from observability.probes.postgres import activity as postgres_activity
from observability.probes.postgres import replication as postgres_replication
from observability.probes.postgres import senders as postgres_senders
from observability.probes.postgres import server as postgres_server
from observability.probes.postgres import timeline as postgres_timeline
from observability.probes.probe import Probe
from observability.probes.redis import replication as redis_replication
from observability.probes.redis import server as redis_server

PROBES: tuple[Probe, ...] = (
    postgres_server.PROBE,
    postgres_timeline.PROBE,
    postgres_activity.PROBE,
    postgres_replication.PROBE,
    postgres_senders.PROBE,
    redis_server.PROBE,
    redis_replication.PROBE,
    http.PROBE,
)
