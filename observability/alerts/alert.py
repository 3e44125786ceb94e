"""
What an alert is: a claim about the stack, what it asks of people and of the controller, and the rules it must keep.

The expression interpolates `metric.prometheus_name`; a limit in it is written `$name` and declared as a `Threshold`, so
that users override it without editing rules and dashboards draw the same number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, get_args

from observability.errors import DeclarationError

Severity: TypeAlias = Literal["page", "ticket", "info", "none"]
"""`page`: users are hurt or about to be, wake somebody; `ticket`: look today; `info`: worth knowing; `none`: machines."""

Action: TypeAlias = Literal["none", "failover", "watchdog"]
"""What the controller is asked to look into."""

SEVERITY_LABEL = "severity"
ACTION_LABEL = "ha_action"
COMPONENT_LABEL = "component"

ACTION_FOR_LIMIT_SECONDS = 2
"""An action alert may not wait longer: the controller confirms for itself, so more `for` is only dead time."""

_NAME = re.compile(r"Ha([A-Z][a-z0-9]+){2,}|HaWatchdog")
_LIMIT = re.compile(r"\$([a-z][a-z_]*)")
_LABEL_USE = re.compile(r"\$labels\.([a-z_]+)")
_TEMPLATE_VARIABLES = frozenset({"labels", "value"})
"""What Prometheus puts before every template of an alert."""


class Threshold(NamedTuple):
    """A number in an alert's expression that users may override; `unit` is UCUM, as in a `Metric`."""

    name: str
    value: float
    unit: str


class Inhibition(NamedTuple):
    """
    While `source` fires, the alert that carries this is not notified of where the labels that both have are equal.

    `matchers` narrow it to some of the alert's instances, in Alertmanager's notation.
    """

    source: Alert
    matchers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """
    The declaration of an alert.

    Args:
        name: CamelCase, beginning with `Ha`; also its runbook's anchor, in lower case.
        expr: PromQL that has a result while the claim holds.
        labels: labels of that result, in alphabetical order; `cluster` is one of them unless there are none.
        severity: what it asks of people.
        summary: one sentence with the labels, for a phone's screen; a Go template.
        description: what is known, with the values; a Go template.
        dashboard: uid of the dashboard to open first.
        drill: the lab's fault that makes it fire; empty for what no fault is needed for.
        action: what it asks of the controller.
        for_seconds: how long the claim must hold before it fires.
        keep_firing_seconds: how long it stays after the claim has ceased to hold, so that it does not flap.
        thresholds: the limits in `expr`.
        inhibited_by: the alerts of which this one is only a consequence or a cause.

    Raises:
        DeclarationError: when a rule is broken.

    """

    name: str
    expr: str
    labels: tuple[str, ...]
    severity: Severity
    summary: str
    description: str
    dashboard: str
    drill: str
    action: Action = "none"
    for_seconds: int = 0
    keep_firing_seconds: int = 0
    thresholds: tuple[Threshold, ...] = ()
    inhibited_by: tuple[Inhibition, ...] = ()

    def __post_init__(self) -> None:
        problem = _identity_problem(self) or _timing_problem(self) or _threshold_problem(self) or _text_problem(self)
        if problem:
            raise DeclarationError(f"alert {self.name!r}: {problem}")

    @property
    def anchor(self) -> str:
        """Where its runbook stands on the page of all runbooks."""
        return self.name.lower()

    def threshold(self, name: str) -> Threshold:
        """The threshold of that name."""
        return next(threshold for threshold in self.thresholds if threshold.name == name)

    def fill(self, text: str) -> str:
        """`text` with this alert's thresholds in the place of their names."""
        values = {threshold.name: f"{threshold.value:g}" for threshold in self.thresholds}
        return _LIMIT.sub(lambda match: values.get(match[1], match[0]), text)


def _identity_problem(alert: Alert) -> str | None:
    if not _NAME.fullmatch(alert.name):
        return "names are CamelCase and begin with Ha, such as HaPostgresNoPrimary"
    if alert.severity not in get_args(Severity):
        return f"severity must be one of {get_args(Severity)}, not {alert.severity!r}"
    if alert.action not in get_args(Action):
        return f"action must be one of {get_args(Action)}, not {alert.action!r}"
    if list(alert.labels) != sorted(set(alert.labels)):
        return "labels must be declared once each, in alphabetical order"
    if alert.labels and "cluster" not in alert.labels:
        return "without the label cluster it would mix two clusters"
    return None


def _timing_problem(alert: Alert) -> str | None:
    if alert.for_seconds < 0 or alert.keep_firing_seconds < 0:
        return "for_seconds and keep_firing_seconds cannot be negative"
    if alert.action != "none" and alert.for_seconds > ACTION_FOR_LIMIT_SECONDS:
        return (
            f"the controller confirms an action alert for itself: for_seconds may be {ACTION_FOR_LIMIT_SECONDS} "
            f"at most, not {alert.for_seconds}"
        )
    return None


def _threshold_problem(alert: Alert) -> str | None:
    declared = [threshold.name for threshold in alert.thresholds]
    if len(set(declared)) != len(declared):
        return "a threshold is declared twice"
    if taken := {*declared}.intersection(_TEMPLATE_VARIABLES):
        return f"threshold {taken.pop()!r} has the name of a template variable"
    used = set(_LIMIT.findall(alert.expr))
    if missing := used.difference(declared):
        return f"${missing.pop()} in its expression is not one of its thresholds"
    if unused := set(declared).difference(used):
        return f"threshold {unused.pop()!r} is not used in its expression"
    return None


def _text_problem(alert: Alert) -> str | None:
    for field in ("expr", "summary", "description", "dashboard"):
        text = getattr(alert, field)
        if not text.strip() or text != text.strip():
            return f"{field} is empty or has blanks around it"
    if "\n" in alert.summary or not alert.summary.endswith("."):
        return "summary must be one sentence on one line"
    if silent := set(alert.labels).difference(_LABEL_USE.findall(alert.summary)):
        return f"summary does not say which {silent.pop()}"
    if unknown := set(_LABEL_USE.findall(alert.summary + alert.description)).difference(alert.labels):
        return f"$labels.{unknown.pop()} is not one of its labels"
    return None
