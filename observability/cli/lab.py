"""`lab`: a real highly available stack on this machine, brought up, looked at, broken, healed and taken down."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from observability.errors import LabError
from observability.lab import view
from observability.lab.directory import default_directory, temporary_directory
from observability.lab.faults import FAULTS, find_fault
from observability.lab.figures import Scraped, prometheus_of
from observability.lab.installation import CHOICES
from observability.lab.lab import Lab, clear_abandoned
from observability.lab.report import checks, examine

app = typer.Typer(no_args_is_help=True)
console = Console()

_REFRESH_SECONDS = 1.0
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

StateDir = Annotated[
    Path | None,
    typer.Option(help="Where the lab keeps everything. Default: " + str(default_directory()), show_default=False),
]
Timeout = Annotated[float, typer.Option(help="Seconds that any one piece may take to start.", min=1)]


@app.command()
def up(
    state_dir: StateDir = None,
    detach: Annotated[bool, typer.Option("--detach", help="Leave it running and return.")] = False,
    once: Annotated[
        bool, typer.Option("--once", help="Check every piece, drill, take down; exit code 0 if all is well.")
    ] = False,
    postgres: Annotated[str, typer.Option(help=f"Which PostgreSQL: {', '.join(CHOICES)}.")] = "16",
    timeout: Timeout = 60,
) -> None:
    """
    Start the stack and watch it live; Ctrl-C takes everything down.

    PostgreSQL primary and standby, Redis primary and replica, two servers behind HAProxy with a steady load, the
    exporter, the failover controller, Prometheus and Alertmanager; all on loopback, on free ports.
    """
    clear_abandoned()
    directory = state_dir or (temporary_directory() if once else default_directory())
    lab = Lab(directory, postgres=postgres, timeout_seconds=timeout)
    with _errors(), _ending_signals():
        began = time.monotonic()
        console.print(f"Starting the lab in {directory}")
        lab.up(lambda news: console.print(view.ready(news)))
        console.print(f"Everything is up after {time.monotonic() - began:.1f} s")
        _say_what_is_missing(lab)
        if detach:
            lab.detach()
            console.print(view.addresses(lab.stack))
            return
        try:
            if not once:
                _watch(lab)
            elif not _prove(lab):
                raise typer.Exit(1)
        finally:
            lab.down()
            console.print("The lab is down; nothing is left behind.")


@app.command()
def status(state_dir: StateDir = None) -> None:
    """Show the lab that runs: its processes and its figures. Exit code 1 when something does not run."""
    lab = Lab(state_dir or default_directory())
    with _errors():
        stack = lab.stack
        console.print(_overview(lab))
        console.print(view.processes(stack))
        if any(process.frozen or not process.alive for process in lab.processes):
            raise typer.Exit(1)


@app.command()
def down(state_dir: StateDir = None) -> None:
    """Take the lab down and remove everything that it made."""
    directory = state_dir or default_directory()
    with _errors():
        console.print(
            f"The lab in {directory} is gone." if Lab(directory).down() else f"There is no lab in {directory}."
        )


@app.command()
def fault(
    name: Annotated[str, typer.Argument(help="Which; see --list.", show_default=False)] = "",
    list_: Annotated[bool, typer.Option("--list", help="Print the faults that there are.")] = False,
    state_dir: StateDir = None,
) -> None:
    """Break something in the running lab, and watch what happens."""
    with _errors():
        if list_ or not name:
            console.print(_fault_table())
            return
        chosen = find_fault(name)
        chosen.inject(Lab(state_dir or default_directory()).stack)
        console.print(f"Done: {chosen.summary}. `lab heal` puts it right.")


@app.command()
def heal(state_dir: StateDir = None) -> None:
    """Undo every fault: thaw, restart, reconnect."""
    with _errors():
        Lab(state_dir or default_directory()).stack.heal()
        console.print("Everything runs again.")


def _watch(lab: Lab) -> None:
    """Show the overview until Ctrl-C; without a terminal say where to look, and wait."""
    with contextlib.suppress(KeyboardInterrupt):
        if not console.is_terminal:
            console.print(view.addresses(lab.stack))
            signal.pause()
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                lab.stack.site.registry.reap()
                live.update(_overview(lab), refresh=True)
                time.sleep(_REFRESH_SECONDS)


def _overview(lab: Lab) -> Any:
    stack = lab.stack
    with contextlib.suppress(LabError), contextlib.closing(prometheus_of(stack)) as prometheus:
        return view.overview(stack, prometheus, prometheus.alerts())
    return view.overview(stack, Scraped(stack), None)


def _prove(lab: Lab) -> bool:
    """Check every piece, then kill the primary; whether all that had to be seen was."""
    stack = lab.stack
    if "prometheus" in stack.missing:
        console.print("Nothing can be read back without Prometheus, so nothing is proven.")
        return False
    from observability.lab.drill import kill_primary

    with prometheus_of(stack) as prometheus:
        found = examine(prometheus, checks(stack.jobs()), timeout_seconds=lab.timeout_seconds)
        console.print(view.findings("Seen in Prometheus", found))
        if any(finding.problem for finding in found):
            return False
        drilled = list(kill_primary(stack, prometheus))
        console.print(view.findings("Drill: kill-primary", drilled))
        return not any(finding.problem for finding in drilled)


def _say_what_is_missing(lab: Lab) -> None:
    for name, program in lab.stack.missing.items():
        console.print(f"[yellow]Without {name}[/], which is not installed: {program.how_to_get}")


def _fault_table() -> Table:
    table = Table("fault", "what happens")
    for each in FAULTS:
        table.add_row(each.name, each.summary)
    return table


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    """What the lab complains about is for a person: no traceback, exit code 1."""
    try:
        yield
    except LabError as error:
        console.print(Text.assemble(("The lab: ", "bold red"), str(error)), highlight=False)
        raise typer.Exit(1) from None


@contextlib.contextmanager
def _ending_signals() -> Iterator[None]:
    """
    A closed terminal and `kill` end the lab as Ctrl-C does.

    A second one is ignored: what is half taken down helps nobody.
    """

    def interrupt(_: int, __: object) -> NoReturn:
        for sign in _ENDINGS:
            signal.signal(sign, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {sign: signal.signal(sign, interrupt) for sign in _ENDINGS}
    try:
        yield
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
