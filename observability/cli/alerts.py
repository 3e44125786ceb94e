"""`alerts`: render rules, Alertmanager's configuration, promtool's tests and runbooks; list what there is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from observability.alerts.files import CONTROLLER_URL, TOKEN_FILE, files
from observability.alerts.render import LINKS, Links
from observability.cli.generated import write_or_check

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def render(  # noqa: PLR0913 -- each option of the command is a parameter
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write; made if it does not exist.")],
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 and name each file that is not up to date.")
    ] = False,
    controller_url: Annotated[
        str, typer.Option(help="The failover controller's webhook, as Alertmanager reaches it.")
    ] = CONTROLLER_URL,
    token_file: Annotated[
        str, typer.Option(help="File with the controller's bearer token, on Alertmanager's machine.")
    ] = TOKEN_FILE,
    grafana_url: Annotated[
        str,
        typer.Option(help="Base URL of Grafana for the links in alerts; paths alone without it.", show_default=False),
    ] = LINKS.grafana_url,
    runbooks_url: Annotated[str, typer.Option(help="Where people can read RUNBOOKS.md.")] = LINKS.runbooks_url,
) -> None:
    """
    Write everything that Prometheus and Alertmanager need into DIR.

    [bold]rules/*.yml[/]      for `rule_files:` in prometheus.yml
    [bold]tests/*.yml[/]      promtool test rules DIR/tests/*.yml
    [bold]alertmanager.yml[/] routes, inhibitions, and the webhook to the failover controller
    [bold]RUNBOOKS.md[/]      what to do about each alert

    Only files that this command made are ever replaced or removed: take the first line
    out of one to make it your own. For example:

        ha-observability alerts render /etc/prometheus/ha --grafana-url https://grafana.example.org
    """
    _must_be_url("--controller-url", controller_url)
    if grafana_url:
        _must_be_url("--grafana-url", grafana_url)
    _must_be_url("--runbooks-url", runbooks_url)
    links = Links(runbooks_url=runbooks_url, grafana_url=grafana_url)
    rendered = files(controller_url=controller_url, token_file=token_file, links=links)
    write_or_check(rendered, directory, check=check, command="alerts render")


@app.command(name="list")
def list_() -> None:
    """List every alert with its severity, what it asks of the controller, and how soon it fires."""
    from rich.console import Console
    from rich.table import Table

    from observability.alerts import ALERTS
    from observability.alerts.render import duration

    table = Table("alert", "severity", "action", "for", "says", box=None, header_style="bold", pad_edge=False)
    for alert in ALERTS:
        action = "" if alert.action == "none" else alert.action
        says = alert.summary.replace("{{ $labels.", "<").replace(" }}", ">")
        table.add_row(alert.name, alert.severity, action, duration(alert.for_seconds), says)
    Console().print(table)


def _must_be_url(option: str, value: str) -> None:
    if not value.startswith(("http://", "https://")):
        raise typer.BadParameter(f"{value!r} is not a URL: it must begin with http:// or https://", param_hint=option)
