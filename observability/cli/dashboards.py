"""`dashboards`: export them for Grafana, ready to mount."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from observability.alerts.render import LINKS, Links
from observability.cli.generated import write_or_check
from observability.dashboards.render import PROVISIONING, Provisioning, files

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _group() -> None:
    """Keeps `export` a command of its own while it is the only one."""


@app.command()
def export(  # noqa: PLR0913 -- each option of the command is a parameter
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write; made if it does not exist.")],
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 and name each file that is not up to date.")
    ] = False,
    datasource_uid: Annotated[
        str, typer.Option(help="uid of the Prometheus datasource in Grafana.")
    ] = PROVISIONING.datasource_uid,
    prometheus_url: Annotated[
        str, typer.Option(help="Prometheus, as Grafana reaches it.")
    ] = PROVISIONING.prometheus_url,
    scrape_interval: Annotated[
        str, typer.Option(help="How often Prometheus scrapes; Grafana's rates are wrong when this is.")
    ] = PROVISIONING.scrape_interval,
    folder: Annotated[str, typer.Option(help="Folder in Grafana.")] = PROVISIONING.folder,
    path: Annotated[
        str, typer.Option(help="Where Grafana finds the JSON files, on its own machine.")
    ] = PROVISIONING.path,
    runbooks_url: Annotated[str, typer.Option(help="Where people can read RUNBOOKS.md.")] = LINKS.runbooks_url,
) -> None:
    """
    Write the dashboards and Grafana's provisioning files into DIR.

    [bold]*.json[/]          dashboards, for Grafana 11 and later; mount them at --path
    [bold]provisioning/[/]   mount it at /etc/grafana/provisioning

    Only files that this command made are ever replaced or removed. For example:

        ha-observability dashboards export ./grafana --datasource-uid prom --scrape-interval 5s
    """
    _must_match("--datasource-uid", datasource_uid, r"[A-Za-z0-9_-]{1,40}", "1 to 40 letters, digits, - and _")
    _must_match("--scrape-interval", scrape_interval, r"\d+(ms|s|m)", "a number with ms, s or m, such as 15s")
    _must_match("--prometheus-url", prometheus_url, r"https?://.+", "a URL that begins with http:// or https://")
    _must_match("--runbooks-url", runbooks_url, r"https?://.+", "a URL that begins with http:// or https://")
    provisioning = Provisioning(datasource_uid, prometheus_url, scrape_interval, folder, path)
    rendered = files(provisioning, links=Links(runbooks_url=runbooks_url))
    write_or_check(rendered, directory, check=check, command="dashboards export")


def _must_match(option: str, value: str, pattern: str, expected: str) -> None:
    if not re.fullmatch(pattern, value):
        raise typer.BadParameter(f"{value!r} is not {expected}", param_hint=option)
