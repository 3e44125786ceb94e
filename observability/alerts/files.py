"""The directory `alerts/`: rules, promtool's tests, Alertmanager's configuration and the runbooks, by their paths."""

from __future__ import annotations

from observability.alerts.proofs.render import promtool_files
from observability.alerts.render import LINKS, Links, alertmanager_file, rule_files
from observability.alerts.runbook import page

CONTROLLER_URL = "http://127.0.0.1:9943/webhook/alertmanager"
TOKEN_FILE = "/etc/ha-observability/controller-token"  # noqa: S105 -- where a secret is, not what it is


def files(
    *, controller_url: str = CONTROLLER_URL, token_file: str = TOKEN_FILE, links: Links = LINKS
) -> dict[str, str]:
    """Every generated file's text by its path below the directory."""
    return {
        **{f"rules/{name}": text for name, text in rule_files(links=links).items()},
        **{f"tests/{name}": text for name, text in promtool_files(links=links).items()},
        "alertmanager.yml": alertmanager_file(controller_url=controller_url, token_file=token_file),
        "RUNBOOKS.md": page(),
    }
