"""What proves each alert, one file per family; promtool's tests are made from it."""

from __future__ import annotations

from observability.alerts.proofs import meta, pools, postgres, targets
from observability.alerts.proofs.proof import Proof

PROOFS: dict[str, tuple[Proof, ...]] = {
    "postgres": postgres.PROOFS,
    "targets": targets.PROOFS,
    "pools": pools.PROOFS,
    "meta": meta.PROOFS,
}
"""The proofs of each family, in the order of its alerts."""
