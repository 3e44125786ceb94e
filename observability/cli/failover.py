"""`failover serve|plan|history|explain`: run the controller, and ask what it saw and decided."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

import typer

from observability.cli.exporter import ConfigOption, LogLevel, listening_socket, settings_or_exit
from observability.connect import Secret, Target
from observability.errors import FailoverError, TargetError
from observability.failover import words
from observability.failover.journal import Journal
from observability.failover.model import FAILOVER, Alert, Hold, HoldReason, LastPrimary, Observation
from observability.failover.observe import take_looks
from observability.failover.policy import plan as decide
from observability.settings import Settings

T = TypeVar("T")

app = typer.Typer(
    no_args_is_help=True,
    help="Run the failover controller, and ask what it saw and decided.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

_ASK_FOR_ONE = """The controller takes webhooks only with a token, and none is configured. Make one:

    openssl rand -hex 32 > failover-token && chmod 600 failover-token

and name it in the configuration:

    failover:
      token_file: failover-token"""

JsonOption = Annotated[bool, typer.Option("--json", help="JSON for programs.")]


@app.command()
def serve(
    config: ConfigOption = None,
    listen: Annotated[
        str | None, typer.Option(help="HOST:PORT to serve on; wins over the file.", show_default=False)
    ] = None,
    log_level: Annotated[LogLevel, typer.Option(help="Least severe messages to log.")] = LogLevel.INFO,
) -> None:
    """
    Take alerts from Alertmanager, look at the servers, and write down what would be done.

    Nothing acts yet: in mode observe each decision goes to the journal, with all that it was made from.
    Let Alertmanager post alerts with the label ha_action="failover" to /webhook/alertmanager with the token;
    people see the incidents on / (any user name, the token as password).
    """
    settings = settings_or_exit(config)
    token = _token_or_exit(settings)
    _postgres_or_exit(settings)
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    import uvicorn

    bound = listening_socket(listen or settings.failover.listen)

    async def run() -> None:
        from observability.failover.admission import Admission
        from observability.failover.controller import Controller
        from observability.failover.web import application

        journal = await Journal.open(settings.failover.state_url)
        rules, mode = settings.failover.rules.rules(), settings.failover.mode
        controller = Controller(settings.all_targets(), journal, rules=rules, mode=mode)
        server = uvicorn.Config(
            application(controller, Admission(token)),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=3,
        )
        logging.getLogger("observability").info("mode %s, clusters %s", mode, ", ".join(controller.clusters))
        await uvicorn.Server(server).serve(sockets=[bound])

    try:
        _run(run())
    finally:
        bound.close()


@app.command()
def plan(
    config: ConfigOption = None,
    cluster: Annotated[str | None, typer.Option(help="Which cluster; needed when there are several.")] = None,
) -> None:
    """
    Look now, and say what a failover alert would lead to; nothing is written or changed.

    Exit code 0: the primary is there, nothing to do. 10: a standby would be promoted. 11: it holds for another reason.
    """
    settings = settings_or_exit(config)
    targets = _cluster_or_exit(settings, cluster)
    seen = _run(_look(settings, targets))
    decision = decide(seen, settings.failover.rules.rules())
    for line in words.observation(seen):
        typer.echo(line)
    typer.echo(words.decision(decision))
    if isinstance(decision, Hold):
        raise typer.Exit(0 if decision.reason is HoldReason.PRIMARY_SEEN else 11)
    for number, step in enumerate(decision.steps, start=1):
        typer.echo(f"  {number}. {words.step(step)}")
    raise typer.Exit(10)


@app.command()
def history(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, from the newest on.")] = 20,
) -> None:
    """The incidents that alerts have opened, newest first, each with its last decision."""
    incidents = _run(_read(settings_or_exit(config), lambda journal: journal.incidents(limit=limit)))
    if as_json:
        typer.echo(json.dumps([words.as_json(each) for each in incidents], indent=2))
        return
    if not incidents:
        typer.echo("No alert has asked for anything yet.")
    for each in incidents:
        decided = words.decision(each.decision) if each.decision else "no decision yet"
        typer.echo(
            f"{each.id:>4}  {words.moment(each.opened_at)}  {each.alert.cluster}  {each.alert.name}  "
            f"{each.state}  {decided}"
        )


@app.command()
def explain(
    incident: Annotated[int, typer.Argument(help="The number of an incident, as `failover history` shows it.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """One incident from its alert to its end: what was seen at each decision, and why it was made."""
    settings = settings_or_exit(config)
    found = _run(_read(settings, lambda journal: journal.incident(incident)))
    if found is None:
        typer.echo(f"There is no incident {incident}; `ha-observability failover history` lists them.", err=True)
        raise typer.Exit(1)
    entries = _run(_read(settings, lambda journal: journal.entries(incident)))
    if as_json:
        told = [{"at": each.at, "kind": each.kind, "body": json.loads(each.body)} for each in entries]
        typer.echo(json.dumps({**words.as_json(found), "entries": told}, indent=2))
        return
    for line in words.timeline(found, entries):
        typer.echo(line)


async def _look(settings: Settings, targets: list[Target]) -> Observation:
    """All that a decision about an alert that fires now would be made from; the memory is a running controller's."""
    cluster, now = targets[0].cluster, time.time()
    alert = Alert(
        fingerprint="plan", name="plan", cluster=cluster, action=FAILOVER, severity="", firing=True, starts_at=now
    )
    looks = await take_looks(targets, settings.failover.rules.rules())
    nodes = tuple(target.name for target in targets)
    memory = await _memory(settings, cluster)
    return Observation(cluster=cluster, at=time.time(), alert=alert, nodes=nodes, looks=looks, last_primary=memory)


async def _memory(settings: Settings, cluster: str) -> LastPrimary | None:
    try:
        journal = await Journal.open(settings.failover.state_url, create=False)
    except FailoverError as error:
        typer.echo(f"Without the memory of a controller: {error}", err=True)
        return None
    try:
        return (await journal.recall()).get(cluster)
    finally:
        await journal.close()


async def _read(settings: Settings, question: Any) -> Any:
    journal = await Journal.open(settings.failover.state_url, create=False)
    try:
        return await question(journal)
    finally:
        await journal.close()


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except FailoverError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _token_or_exit(settings: Settings) -> Secret:
    given = settings.failover
    token = Secret(given.token.get_secret_value() if given.token else None, path=given.token_file)
    try:
        if token.reveal():
            return token
        typer.echo(_ASK_FOR_ONE, err=True)
    except TargetError:
        typer.echo(f"failover: token_file: {given.token_file} cannot be read by this user.", err=True)
    raise typer.Exit(2)


def _postgres_or_exit(settings: Settings) -> list[Target]:
    targets = [target for target in settings.all_targets() if target.system == "postgres"]
    if not targets:
        typer.echo("No PostgreSQL target is configured, so there is nothing to fail over.", err=True)
        raise typer.Exit(2)
    return targets


def _cluster_or_exit(settings: Settings, cluster: str | None) -> list[Target]:
    targets = _postgres_or_exit(settings)
    names = sorted({target.cluster for target in targets})
    if cluster is None and len(names) > 1:
        typer.echo(f"Several clusters are configured: choose one with --cluster ({', '.join(names)}).", err=True)
        raise typer.Exit(2)
    chosen = [target for target in targets if target.cluster == (cluster or names[0])]
    if not chosen:
        typer.echo(f"No cluster is called {cluster!r}. Configured: {', '.join(names)}.", err=True)
        raise typer.Exit(2)
    return chosen
