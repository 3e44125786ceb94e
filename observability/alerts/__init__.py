"""Alerts as values, one family per file, and what is rendered from them. A new family is its file and one line here."""

from __future__ import annotations

from itertools import chain

from observability.alerts import meta, pools, postgres, targets
from observability.alerts.alert import Alert

FAMILIES: dict[str, tuple[Alert, ...]] = {
    "postgres": postgres.ALERTS,
    "targets": targets.ALERTS,
    "pools": pools.ALERTS,
    "meta": meta.ALERTS,
}
"""The alerts of each family; its name is also that of the rule file and the label `component`."""

ALERTS: tuple[Alert, ...] = tuple(chain.from_iterable(FAMILIES.values()))
