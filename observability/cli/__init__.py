"""The command line: `ha-observability COMMAND`. Each area has a file here, and loads only when its command is called."""

from __future__ import annotations

import contextlib
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

_AREAS = {
    "alerts": ("dashboards", "Render alert rules, Alertmanager's configuration and runbooks."),
    "dashboards": ("dashboards", "Export Grafana dashboards and their provisioning."),
    "failover": ("failover", "Run the failover controller, and ask what it saw and decided."),
    "run": ("instrument", "Run a program with every SQLAlchemy engine in it instrumented."),
    "lab": ("lab", "A real highly available stack on this machine: up, status, fault, down."),
}
"""Sub-commands with the extra that they need and their line in --help; the file is observability/cli/NAME.py."""

_OF_THE_EXPORTER = {
    "exporter": "Measure all targets and serve them to Prometheus on /metrics.",
    "check-config": "Read the configuration and report every mistake with its line and the way out.",
}
"""Commands of observability/cli/exporter.py, where its extra is not installed."""


class _LazyGroup(TyperGroup):
    """Imports an area when its command is called, so that each command starts fast and needs only its own extra."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *_AREAS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _AREAS:
            return super().get_command(ctx, cmd_name) or _of_the_exporter(cmd_name)
        extra, line = _AREAS[cmd_name]
        try:
            area = import_module(f"observability.cli.{cmd_name}")
        except ModuleNotFoundError as error:
            return _missing(cmd_name, line, extra, error)
        command = typer.main.get_command(area.app)
        command.name = cmd_name
        if isinstance(command, TyperGroup):
            command.help = line
        command.short_help = line
        return command


app = typer.Typer(
    cls=_LazyGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Truthful metrics, proven alerts and safe failover for highly available stacks.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _root() -> None:
    # Typer would take an application with one command for that command.
    pass


def main() -> None:
    """The entry point of the command `ha-observability`."""
    from observability.cli import metrics  # noqa: F401 -- it adds its command to `app`

    # A server that is only instrumented has less installed than the exporter needs.
    with contextlib.suppress(ModuleNotFoundError):
        from observability.cli import exporter  # noqa: F401

    app(prog_name="ha-observability")


def _of_the_exporter(name: str) -> Any:
    """A stand-in for a command that could not be imported; None for one that there never was."""
    if name not in _OF_THE_EXPORTER:
        return None
    try:
        import_module("observability.cli.exporter")
    except ModuleNotFoundError as error:
        return _missing(name, _OF_THE_EXPORTER[name], "exporter", error)
    return None


def _missing(name: str, line: str, extra: str, error: ModuleNotFoundError) -> Any:
    """The command of an area whose extra is not installed: it says how to install it."""
    stand_in = typer.Typer(help=line)

    @stand_in.command(name=name, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
    def _install_first() -> None:
        typer.echo(f"'{name}' needs {error.name}: pip install 'ha-observability[{extra}]'", err=True)
        raise typer.Exit(2)

    command = typer.main.get_command(stand_in)
    command.help = line
    return command
