"""Proofs of the alerts on targets."""

from __future__ import annotations

from observability.alerts import targets
from observability.alerts.proofs.proof import Given, Proof, Scene
from observability.scrape import STATE, UP

_REDIS_1 = {"server": "redis-1", "system": "redis"}

PROOFS = (
    Proof(
        alert=targets.TARGET_DOWN,
        series=(
            Given(UP, _REDIS_1, 1, 0),
            Given(UP, {"server": "pg-1", "system": "postgres"}, 1, 1),
            Given(STATE, {"server": "redis-1", "state": "hung"}, 0, 1),
            Given(STATE, {"server": "redis-1", "state": "ok"}, 1, 0),
        ),
        labels=_REDIS_1,
        summary="redis-1 (redis) of cluster demo does not answer as it should.",
        description=(
            "redis-1 (redis) of cluster demo does not answer as it should; reason: hung. "
            "Redundancy is lost until it is back; its other series are absent meanwhile."
        ),
        near_misses=(
            Scene(
                "another exporter gets its answer",
                (Given(UP, {**_REDIS_1, "instance": "a"}, 1, 0), Given(UP, {**_REDIS_1, "instance": "b"}, 1, 1)),
            ),
        ),
    ),
)
