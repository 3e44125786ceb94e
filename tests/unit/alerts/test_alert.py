"""Which declarations of alerts are refused, and what a right one says."""

from __future__ import annotations

from typing import Any

import pytest

from observability.alerts.alert import Alert, Threshold
from observability.errors import DeclarationError


def declare(**changes: Any) -> Alert:
    """A right declaration, changed."""
    right: dict[str, Any] = {
        "name": "HaThingBroken",
        "expr": "max by (cluster) (ha_thing) > $most",
        "labels": ("cluster",),
        "severity": "ticket",
        "summary": "The thing of {{ $labels.cluster }} is broken.",
        "description": "It is {{ $value }}, more than $most.",
        "dashboard": "ha-overview",
        "drill": "break-thing",
        "thresholds": (Threshold("most", 2.5, "s"),),
    }
    return Alert(**(right | changes))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param({"name": "ThingBroken"}, "begin with Ha", id="name"),
        pytest.param({"name": "HaThing"}, "begin with Ha", id="one word"),
        pytest.param({"severity": "critical"}, "severity must be one of", id="severity"),
        pytest.param({"action": "reboot"}, "action must be one of", id="action"),
        pytest.param({"labels": ("server", "cluster")}, "alphabetical order", id="order of labels"),
        pytest.param({"labels": ("server",)}, "would mix two clusters", id="no cluster"),
        pytest.param({"for_seconds": -1}, "cannot be negative", id="negative"),
        pytest.param({"action": "failover", "for_seconds": 3}, "may be 2 at most", id="late action"),
        pytest.param({"thresholds": ()}, r"\$most in its expression", id="undeclared threshold"),
        pytest.param({"expr": "ha_thing > 1"}, "'most' is not used", id="unused threshold"),
        pytest.param({"thresholds": (Threshold("most", 1, ""),) * 2}, "declared twice", id="double threshold"),
        pytest.param(
            {"expr": "ha_thing > $value", "thresholds": (Threshold("value", 1, ""),)},
            "template variable",
            id="reserved",
        ),
        pytest.param({"description": " "}, "description is empty", id="no description"),
        pytest.param({"summary": "{{ $labels.cluster }} is broken"}, "one sentence", id="no full stop"),
        pytest.param({"summary": "It is broken."}, "does not say which cluster", id="summary without cluster"),
        pytest.param({"description": "On {{ $labels.sever }}."}, r"\$labels.sever is not", id="label misspelt"),
    ],
)
def test_wrong_declarations_are_refused(changes: dict[str, Any], problem: str) -> None:
    """Each broken rule is named together with the alert, when the module is imported."""
    with pytest.raises(DeclarationError, match=problem):
        declare(**changes)


def test_thresholds_are_filled_in() -> None:
    """The number stands for its name, in the expression and in the text; template variables stay."""
    alert = declare()
    assert alert.fill(alert.expr) == "max by (cluster) (ha_thing) > 2.5"
    assert alert.fill(alert.description) == "It is {{ $value }}, more than 2.5."


def test_a_changed_threshold_needs_no_other_change() -> None:
    """Who replaces the number gets the same alert with another limit."""
    alert = declare(thresholds=(Threshold("most", 7, "s"),))
    assert alert.fill(alert.expr) == "max by (cluster) (ha_thing) > 7"
    assert alert.threshold("most").value == 7
