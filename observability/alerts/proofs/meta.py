"""Proofs of the alerts on the alerting itself."""

from __future__ import annotations

from observability.alerts import meta
from observability.alerts.proofs.proof import Given, Proof, Scene
from observability.failover.signals import ERRORS as CONTROLLED
from observability.probes.cluster import TARGETS

PROOFS = (
    Proof(
        alert=meta.WATCHDOG,
        series=(Given(TARGETS, {"system": "postgres"}, 2, None),),
        summary="Alerts arrive.",
        description="This alert always fires. The controller counts on it: when it stays away, the path of alerts is broken.",
        always=True,
        fires_on_vanish=True,
    ),
    Proof(
        alert=meta.EXPORTER_DOWN,
        series=(Given(TARGETS, {"system": "postgres"}, 2, None), Given(TARGETS, {"system": "redis"}, 2, None)),
        summary="Nobody watches cluster demo any more: its exporter gives no metrics.",
        description=(
            "Prometheus has no series of the exporter of cluster demo. "
            "Until they are back no other alert about it can fire, whatever happens there."
        ),
        other_ways=(
            Scene("only the controller ever knew the cluster", (Given(CONTROLLED, {"loop": "watch"}, None, 0),)),
            Scene(
                "the controller knows the cluster",
                (Given(TARGETS, {"system": "postgres"}, 2, None), Given(CONTROLLED, {"loop": "watch"}, 0, 0)),
            ),
        ),
        near_misses=(
            Scene(
                "another exporter still watches",
                (
                    Given(TARGETS, {"system": "postgres", "instance": "a"}, 2, None),
                    Given(TARGETS, {"system": "postgres", "instance": "b"}, 2, 2),
                ),
            ),
            Scene(
                "the controller and the exporter know the cluster",
                (Given(TARGETS, {"system": "postgres"}, 2, 2), Given(CONTROLLED, {"loop": "watch"}, 0, 0)),
            ),
        ),
        fires_on_vanish=True,
    ),
    Proof(
        alert=meta.NOTHING_WATCHED,
        series=(Given(TARGETS, {"system": "postgres"}, 2, None),),
        summary="No exporter is seen at all: nothing is watched.",
        description="Prometheus has no series of any exporter, so no alert about any cluster can fire, whatever happens there.",
        fires_on_vanish=True,
    ),
)
