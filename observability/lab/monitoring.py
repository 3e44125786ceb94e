"""Prometheus and Alertmanager in the lab: their configuration and their start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from observability.alerts.render import alertmanager_file, rule_files
from observability.lab.applications import token_file
from observability.lab.ports import HOST
from observability.lab.ready import serves
from observability.lab.site import CLUSTER, Site

INTERVAL_SECONDS = 1
"""Scrape and evaluation interval of the lab."""


class Job(NamedTuple):
    """Something that Prometheus scrapes: ports by server; `labelled` if its series do not say themselves who is asked."""

    name: str
    ports: Mapping[str, int]
    labelled: bool = False


def settings(jobs: Iterable[Job], *, rules: str, alertmanager_port: int | None) -> str:
    """Prometheus' configuration; `rules` is the pattern of the rule files."""
    every = f"{INTERVAL_SECONDS}s"
    config: dict[str, Any] = {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [rules],
        "scrape_configs": [_scrape_config(job) for job in jobs],
    }
    if alertmanager_port is not None:
        target = {"targets": [f"{HOST}:{alertmanager_port}"]}
        config["alerting"] = {"alertmanagers": [{"timeout": "2s", "static_configs": [target]}]}
    return yaml.safe_dump(config, sort_keys=False)


def start_prometheus(site: Site, program: Path, jobs: Iterable[Job], *, with_alertmanager: bool) -> None:
    """Start Prometheus with the generated rules."""
    for name, text in rule_files().items():
        site.file(f"rules/{name}", text)
    port = site.ports["prometheus"]
    alertmanager_port = site.ports["alertmanager"] if with_alertmanager else None
    rules = str(site.state.path / "rules" / "*.yml")
    config = site.file("prometheus.yml", settings(jobs, rules=rules, alertmanager_port=alertmanager_port))
    argv: list[str | Path] = [
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={site.state.path / 'prometheus'}",
        "--storage.tsdb.retention.time=1d",
        f"--web.listen-address={HOST}:{port}",
        # Prometheus finds Alertmanager up to 5 s after its start; what fired before would be sent again after a minute.
        "--rules.alert.resend-delay=5s",
        "--log.level=warn",
    ]
    site.start("prometheus", argv, serves(port, "/-/ready"))


def start_alertmanager(site: Site, program: Path) -> None:
    """Start Alertmanager, alone, with the generated routes to the controller."""
    text = alertmanager_file(
        controller_url=f"http://{HOST}:{site.ports['controller']}/webhook/alertmanager",
        token_file=str(token_file(site)),
    )
    port = site.ports["alertmanager"]
    argv: list[str | Path] = [
        program,
        f"--config.file={site.file('alertmanager.yml', text)}",
        f"--storage.path={site.state.path / 'alertmanager'}",
        f"--web.listen-address={HOST}:{port}",
        "--cluster.listen-address=",  # no gossip: it would listen on all interfaces
        "--log.level=warn",
    ]
    site.start("alertmanager", argv, serves(port, "/-/ready"))


def _scrape_config(job: Job) -> dict[str, Any]:
    configs: list[dict[str, Any]] = [{"targets": [f"{HOST}:{port}"]} for port in job.ports.values()]
    if job.labelled:
        for config, server in zip(configs, job.ports, strict=True):
            config["labels"] = {"cluster": CLUSTER, "server": server}
    return {"job_name": job.name, "static_configs": configs}
