"""What the rendered rules and routes promise: nothing delays an action, and people hear of everything."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from observability.alerts import ALERTS, FAMILIES
from observability.alerts.files import files
from observability.alerts.render import Links, alertmanager_file, duration, rule_files
from tests.promql import parse

CONFIG: dict[str, Any] = yaml.safe_load(alertmanager_file(controller_url="http://c/webhook", token_file="/run/token"))
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for text in rule_files().values()
    for group in yaml.safe_load(text)["groups"]
    for rule in group["rules"]
}


def test_each_alert_is_rendered_once() -> None:
    """No alert is lost on the way, and no two have one name."""
    assert [alert.name for alert in ALERTS] == list(RULES)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_expressions_parse(rule: dict[str, Any]) -> None:
    """What is rendered is PromQL, with all limits filled in."""
    assert "$" not in rule["expr"]
    parse(rule["expr"])


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_results_carry_the_declared_labels(alert: Any) -> None:
    """An expression aggregates by its declared labels, so that one cluster's alert is never another's."""
    if alert.labels:
        assert f"by ({', '.join(alert.labels)})" in alert.expr


def test_actions_reach_the_controller_at_once() -> None:
    """Each action alert is a group of its own, sent without waiting, again while it fires, and people get it too."""
    route = next(route for route in CONFIG["route"]["routes"] if route["matchers"] == ['ha_action=~".+"'])
    assert route == {
        "receiver": "controller",
        "matchers": ['ha_action=~".+"'],
        "group_by": ["..."],
        "group_wait": "0s",
        "group_interval": "5s",
        "repeat_interval": "5m",
        "continue": True,
    }
    assert {alert.name: RULES[alert.name]["for"] for alert in ALERTS if alert.action != "none"} == {
        "HaPostgresNoPrimary": "2s",
        "HaWatchdog": "0s",
    }


def test_no_group_has_an_interval_of_its_own() -> None:
    """The user's evaluation interval decides how fast alerts are."""
    groups = [group for text in rule_files().values() for group in yaml.safe_load(text)["groups"]]
    assert [set(group) for group in groups] == [{"name", "rules"}] * len(FAMILIES)


def test_the_token_is_read_by_alertmanager() -> None:
    """The configuration holds the path of the secret, never the secret."""
    receiver = next(receiver for receiver in CONFIG["receivers"] if receiver["name"] == "controller")
    assert receiver["webhook_configs"][0]["http_config"]["authorization"] == {
        "type": "Bearer",
        "credentials_file": "/run/token",
    }


def test_inhibition_stays_within_a_cluster() -> None:
    """What one cluster suffers never hides what another one does."""
    for rule in CONFIG["inhibit_rules"]:
        source = next(alert for alert in ALERTS if f'alertname="{alert.name}"' in rule["source_matchers"])
        target = next(alert for alert in ALERTS if f'alertname="{alert.name}"' in rule["target_matchers"])
        if source.labels and target.labels:
            assert "cluster" in rule["equal"]


def test_links_can_lead_elsewhere() -> None:
    """Rules and their tests agree on the user's own Grafana and runbooks."""
    rendered = files(links=Links(runbooks_url="https://wiki/ha", grafana_url="https://grafana/"))
    assert "https://wiki/ha#hatargetdown" in rendered["rules/targets.yml"]
    assert (
        "https://grafana/d/ha-overview?var-cluster={{ $labels.cluster }}&var-server={{ $labels.server }}"
        in rendered["rules/targets.yml"]
    )
    assert "https://grafana/d/ha-overview?var-cluster=demo&var-server=redis-1" in rendered["tests/targets.yml"]


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (2, "2s"), (90, "90s"), (300, "5m"), (7200, "2h")])
def test_durations_are_written_as_people_do(seconds: int, text: str) -> None:
    """Whole minutes and hours are written as such."""
    assert duration(seconds) == text
