"""The lab's tables agree with the alerts, with each other and with the languages they are written in."""

from __future__ import annotations

from pathlib import Path

import promql_parser
import pytest
import yaml

from observability.alerts import ALERTS
from observability.errors import LabError
from observability.lab import haproxy, monitoring
from observability.lab.faults import FAULTS, find_fault
from observability.lab.monitoring import Job
from observability.lab.ports import free_ports
from observability.lab.report import checks
from observability.lab.stack import PORTS

JOBS = (Job("haproxy", {"haproxy": 1}), Job("alertmanager", {"alertmanager": 2}))
EXPRESSIONS = [
    pytest.param(expression, id=f"{check.piece} {meaning}")
    for check in checks(JOBS)
    for meaning, expression in check.figures.items()
]


def test_every_alert_has_its_fault() -> None:
    """Each drill that an alert names is a fault of the lab."""
    assert {alert.drill for alert in ALERTS if alert.drill} <= {fault.name for fault in FAULTS}


def test_fault_names_are_unique() -> None:
    """No fault hides another."""
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


def test_an_unknown_fault_names_those_that_there_are() -> None:
    """A typing mistake is answered with the list."""
    with pytest.raises(LabError, match="there is no fault 'kill-everything'; there are: kill-primary, "):
        find_fault("kill-everything")


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions_of_the_report_can_be_read(expression: str) -> None:
    """Each expression is PromQL."""
    promql_parser.parse(expression)


def test_pieces_that_are_not_installed_are_not_checked() -> None:
    """Without HAProxy and Alertmanager the report is about the rest."""
    pieces = {check.piece for check in checks(JOBS)}
    assert pieces - {check.piece for check in checks(())} == {"haproxy", "alertmanager"}


def test_ports_differ() -> None:
    """Each piece has a port of its own."""
    assert len(set(free_ports(PORTS).values())) == len(PORTS)


def test_prometheus_settings() -> None:
    """Series of the servers get their names from Prometheus; all others say themselves who they are about."""
    jobs = (Job("ha-exporter", {"exporter": 1}), Job("ha-server", {"server-1": 2, "server-2": 3}, labelled=True))
    assert yaml.safe_load(monitoring.settings(jobs, rules="/lab/rules/*.yml", alertmanager_port=4)) == {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["/lab/rules/*.yml"],
        "scrape_configs": [
            {"job_name": "ha-exporter", "static_configs": [{"targets": ["127.0.0.1:1"]}]},
            {
                "job_name": "ha-server",
                "static_configs": [
                    {"targets": ["127.0.0.1:2"], "labels": {"cluster": "demo", "server": "server-1"}},
                    {"targets": ["127.0.0.1:3"], "labels": {"cluster": "demo", "server": "server-2"}},
                ],
            },
        ],
        "alerting": {"alertmanagers": [{"timeout": "2s", "static_configs": [{"targets": ["127.0.0.1:4"]}]}]},
    }


def test_haproxy_settings() -> None:
    """Each server is checked; without a port for metrics there is no frontend for them."""
    text = haproxy.settings(Path("/lab"), port=1, servers={"server-1": 2, "server-2": 3}, metrics_port=None)
    assert ("server server-1 127.0.0.1:2" in text, "frontend metrics" in text) == (True, False)
    assert "bind 127.0.0.1:4" in haproxy.settings(Path("/lab"), port=1, servers={}, metrics_port=4)
