"""The command line: `ha-observability COMMAND`. Each area has a file here, and loads only when its command is called."""

from __future__ import annotations

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


class _LazyGroup(TyperGroup):
    """Imports an area when its command is called, so that each command starts fast and needs only its own extra."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *_AREAS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _AREAS:
            return super().get_command(ctx, cmd_name)
        extra, line = _AREAS[cmd_name]
        try:
            area = import_module(f"observability.cli.{cmd_name}")
        except ModuleNotFoundError as error:
            return _missing(cmd_name, line, extra, error)
        command = typer.main.get_command(area.app)
        command.name = cmd_name
        command.help = line
        return command


app = typer.Typer(
    cls=_LazyGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Truthful metrics, proven alerts and safe failover for highly available stacks.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """The entry point of the command `ha-observability`."""
    from observability.cli import exporter, metrics  # noqa: F401 -- they add their commands to `app`

    app(prog_name="ha-observability")


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
