"""Alertmanager's webhooks: what is read from a right one, and that a wrong one is only refused."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observability.failover.model import Alert
from observability.failover.webhook import Webhook, WebhookError, parse


def alert(**changes: Any) -> dict[str, Any]:
    """An alert as Alertmanager 0.25 sends it."""
    return {
        "status": "firing",
        "labels": {
            "alertname": "PostgresNoPrimary",
            "cluster": "demo",
            "ha_action": "failover",
            "severity": "page",
            "team": "$(reboot)",
        },
        "annotations": {"summary": "No primary in demo."},
        "startsAt": "2026-05-01T10:00:00.250999999Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus:9090/graph",
        "fingerprint": "a1b2c3d4e5f60718",
        **changes,
    }


def webhook(*alerts: Any, **changes: Any) -> bytes:
    """The body of a webhook."""
    payload = {
        "version": "4",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "failover",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "alerts": list(alerts),
        **changes,
    }
    return json.dumps(payload).encode()


READ = Alert(
    fingerprint="a1b2c3d4e5f60718",
    name="PostgresNoPrimary",
    cluster="demo",
    action="failover",
    severity="page",
    firing=True,
    starts_at=1777629600.250999,
    labels=(
        ("alertname", "PostgresNoPrimary"),
        ("cluster", "demo"),
        ("ha_action", "failover"),
        ("severity", "page"),
        ("team", "$(reboot)"),
    ),
    annotations=(("summary", "No primary in demo."),),
)


def test_alert_is_read_with_all_its_labels() -> None:
    """What we act by is named; what is only shown is kept as it came."""
    assert parse(webhook(alert())) == Webhook(alerts=(READ,), truncated=0)


def test_group_may_fire_and_resolve_at_once() -> None:
    """The status of each alert counts, not the group's."""
    parsed = parse(webhook(alert(), alert(status="resolved", fingerprint="b2")))
    assert [(each.fingerprint, each.firing) for each in parsed.alerts] == [("a1b2c3d4e5f60718", True), ("b2", False)]


def test_left_out_alerts_are_counted() -> None:
    """Alertmanager says how many it left out; what is absent then has not gone away."""
    assert parse(webhook(alert(), truncatedAlerts=7)).truncated == 7


def test_labels_may_be_missing() -> None:
    """An alert without cluster or action is read, and asks for nothing."""
    (bare,) = parse(webhook(alert(labels={"alertname": "X"}, annotations={}))).alerts
    assert (bare.cluster, bare.action, bare.asks_nothing, bare.is_watchdog) == ("", "", True, False)


@pytest.mark.parametrize(
    "labels", [{"alertname": "Watchdog"}, {"alertname": "Alive", "ha_action": "watchdog"}], ids=["name", "action"]
)
def test_watchdog(labels: dict[str, str]) -> None:
    """The watchdog is known by its name or by its action."""
    (each,) = parse(webhook(alert(labels=labels))).alerts
    assert each.is_watchdog


NOTHING = (
    "alerts.0.status: Field required; alerts.0.labels: Field required; alerts.0.startsAt: Field required; "
    "alerts.0.fingerprint: Field required"
)
WRONG = {
    "empty": (b"", "body: Invalid JSON: EOF while parsing a value at line 1 column 0"),
    "not JSON": (b"\xff", "body: Invalid JSON: expected value at line 1 column 1"),
    "a list": (b"[]", "body: Input should be an object"),
    "nested deeply": (b"[" * 9_999, "body: Invalid JSON: recursion limit exceeded at line 1 column 202"),
    "version 3": (webhook(version="3"), "version: Input should be '4'"),
    "no alerts": (b'{"version":"4"}', "alerts: Field required"),
    "an alert of nothing": (
        webhook({}),
        NOTHING,
    ),
    "a label that is a number": (
        webhook(alert(labels={"alertname": "X", "port": 1})),
        "alerts.0.labels.port: Input should be a valid string",
    ),
    "a cluster with a line break": (
        webhook(alert(labels={"alertname": "X", "cluster": "a\nb"})),
        r"alerts.0.labels.cluster: String should match pattern '^[^\x00-\x1f\x7f]*$'",
    ),
    "a time without a zone": (
        webhook(alert(startsAt="2026-05-01T10:00:00")),
        "alerts.0.startsAt: Input should have timezone info",
    ),
    "a time that is a number": (webhook(alert(startsAt=5)), "alerts.0.startsAt: Input should be a valid datetime"),
    "a fingerprint with a path": (
        webhook(alert(fingerprint="../x")),
        "alerts.0.fingerprint: String should match pattern '^[0-9A-Za-z_-]{1,64}$'",
    ),
    "a negative count": (
        webhook(truncatedAlerts=-1),
        "truncatedAlerts: Input should be greater than or equal to 0",
    ),
    "too many problems to list": (
        webhook({}, {}),
        f"{NOTHING}; alerts.1.status: Field required; and 3 more",
    ),
}


@pytest.mark.parametrize(("body", "problem"), WRONG.values(), ids=WRONG.keys())
def test_wrong_webhook_is_refused_with_its_problem(body: bytes, problem: str) -> None:
    """The sender learns what is wrong and where."""
    with pytest.raises(WebhookError) as refused:
        parse(body)
    assert str(refused.value) == f"not an Alertmanager webhook of version 4: {problem}"


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(["status", "labels", "annotations", "startsAt", "endsAt", "fingerprint", "more"])


@given(st.dictionaries(FIELDS, JSON, max_size=3), st.dictionaries(st.text(max_size=9), st.text()), JSON)
def test_anything_is_read_or_refused(changes: dict[str, Any], labels: dict[str, str], whole: Any) -> None:
    """No body whatever raises anything but the refusal."""
    shapes = [
        whole,
        json.loads(webhook(alert(**changes))),
        json.loads(webhook(alert(labels={"alertname": "X", **labels}))),
    ]
    for shape in shapes:
        try:
            parsed = parse(json.dumps(shape).encode())
        except WebhookError:
            continue
        assert all(isinstance(each.starts_at, float) for each in parsed.alerts)


@given(st.binary(max_size=200), st.integers(0, 400))
def test_damaged_bytes_are_read_or_refused(damage: bytes, at: int) -> None:
    """Nor do bytes that were damaged on their way."""
    body = webhook(alert())
    with suppress(WebhookError):
        parse(body[:at] + damage + body[at + len(damage) :])
