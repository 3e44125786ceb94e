"""Proofs of the PostgreSQL alerts."""

from __future__ import annotations

from observability.alerts import postgres
from observability.alerts.proofs.proof import Given, Proof, Scene
from observability.probes.cluster import LAG, PRIMARIES, TARGETS
from observability.scrape import STATE, UP

_PG_1 = {"server": "pg-1", "system": "postgres"}
_PG_2 = {"server": "pg-2", "system": "postgres"}
_SERVERS = Given(TARGETS, {"system": "postgres"}, 2, 2)

PROOFS = (
    Proof(
        alert=postgres.NO_PRIMARY,
        series=(
            Given(PRIMARIES, {}, 1, 0),
            _SERVERS,
            Given(UP, _PG_1, 1, 0),
            Given(UP, _PG_2, 1, 1),
            Given(STATE, {"server": "pg-1", "state": "ok"}, 1, 0),
            Given(STATE, {"server": "pg-1", "state": "refused"}, 0, 1),
            Given(STATE, {"server": "pg-2", "state": "ok"}, 1, 1),
            Given(STATE, {"server": "redis-1", "state": "ok"}, 1, 1),
        ),
        summary="Cluster demo has no PostgreSQL primary: writes fail.",
        description="0 of 2 PostgreSQL servers of cluster demo answer as primary: pg-1 is refused, pg-2 is ok.",
        near_misses=(
            Scene(
                "another exporter sees the primary",
                (Given(PRIMARIES, {"instance": "a"}, 1, 0), Given(PRIMARIES, {"instance": "b"}, 1, 1)),
            ),
            Scene("two primaries are another alert", (Given(PRIMARIES, {}, 1, 2),)),
        ),
    ),
    Proof(
        alert=postgres.SPLIT_BRAIN,
        series=(Given(PRIMARIES, {}, 1, 2), _SERVERS),
        summary="Cluster demo has more than one PostgreSQL primary: writes diverge and some will be lost.",
        description=(
            "2 of 2 PostgreSQL servers of cluster demo answer as primary. "
            "Stop the one that clients should not write to before anything else."
        ),
        near_misses=(
            Scene(
                "two exporters see the same primary",
                (Given(PRIMARIES, {"instance": "a"}, 1, 1), Given(PRIMARIES, {"instance": "b"}, 1, 1)),
            ),
            Scene("no primary is another alert", (Given(PRIMARIES, {}, 1, 0),)),
        ),
    ),
    Proof(
        alert=postgres.REPLICATION_LAG,
        series=(Given(LAG, {"server": "pg-2"}, 0, 42), Given(LAG, {"server": "pg-3"}, 0.2, 0.3)),
        labels={"server": "pg-2"},
        summary="Standby pg-2 of cluster demo is far behind its primary.",
        description=(
            "pg-2 is 42s behind the primary of cluster demo, more than 10 s: reads from it are that old, and if it had to "
            "take over now, it would be late or lose what it has not received."
        ),
        near_misses=(Scene("as far behind as allowed", (Given(LAG, {"server": "pg-2"}, 0, 10),)),),
    ),
)
