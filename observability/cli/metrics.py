"""`metrics`: the catalogue of everything that is measured."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from observability.cli import app


class Format(StrEnum):
    """How the catalogue is printed."""

    TABLE = "table"
    MARKDOWN = "markdown"
    JSON = "json"


@app.command()
def metrics(
    output: Annotated[Format, typer.Option("--format", "-f", help="How to print it.")] = Format.TABLE,
    search: Annotated[
        str, typer.Option("--search", "-s", help="Only metrics whose name or help holds this text.")
    ] = "",
) -> None:
    """Print every metric with its Prometheus and OpenTelemetry names, unit, labels and meaning."""
    from observability import catalogue

    found = [
        metric
        for metric in catalogue.metrics()
        if search.lower() in f"{metric.name} {metric.prometheus_name} {metric.help}".lower()
    ]
    if output is Format.MARKDOWN:
        typer.echo(catalogue.as_markdown(found), nl=False)
    elif output is Format.JSON:
        typer.echo(catalogue.as_json(found), nl=False)
    else:
        from rich.console import Console
        from rich.table import Table

        table = Table("Prometheus name", "kind", "labels", "meaning", box=None, header_style="bold", pad_edge=False)
        for metric in found:
            table.add_row(metric.prometheus_name, metric.kind, ", ".join(metric.prometheus_labels), metric.help)
        Console().print(table)
    if not found:
        typer.echo(f"No metric holds {search!r}.", err=True)
        raise typer.Exit(1)
