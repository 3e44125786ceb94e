"""Proofs of the alerts on connection pools."""

from __future__ import annotations

from observability.alerts import pools
from observability.alerts.proofs.proof import Given, Proof, Scene
from observability.instrumentation.pool.metrics import COUNT, MAX, OPENING, PENDING

_POOL = {"server": "server-1", pools.POOL: "core"}
_USED = {**_POOL, pools.STATE: "used"}
_MAX = Given(MAX, _POOL, 15, 15)

PROOFS = (
    Proof(
        alert=pools.EXHAUSTED,
        series=(
            Given(COUNT, _USED, 3, 14),
            Given(COUNT, {**_POOL, pools.STATE: "idle"}, 2, 0),
            Given(OPENING, _POOL, 0, 1),
            Given(PENDING, _POOL, 0, 7),
            _MAX,
        ),
        labels=_POOL,
        summary="Requests on server-1 of cluster demo wait for pool core.",
        description=(
            "100% of the places in pool core of server-1 are taken and requests wait for one. "
            "Those that wait longer than the pool's timeout fail."
        ),
        near_misses=(
            Scene(
                "full, and nobody waits",
                (Given(COUNT, _USED, 3, 15), Given(OPENING, _POOL, 0, 0), Given(PENDING, _POOL, 0, 0), _MAX),
            ),
            Scene(
                "a pool without a limit",
                (Given(COUNT, _USED, 3, 500), Given(OPENING, _POOL, 0, 0), Given(PENDING, _POOL, 0, 1)),
            ),
        ),
    ),
)
