"""`exporter` and `check-config`."""

from __future__ import annotations

import logging
import os
import socket
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from observability.cli import app
from observability.errors import SettingsError
from observability.settings import Settings, host_and_port, load

_BACKLOG = 2_048


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="YAML file; without one, the environment alone says what to watch.", show_default=False
    ),
]

_NO_TARGETS = """No target is configured. Give some in a file:

    targets:
      - name: pg-1
        url: postgresql://ha_monitor@db-1:5432/postgres
        password_file: pg-password

and pass it with --config FILE; or name them in the environment: HA_TARGETS="postgresql://… redis://…",
or PGHOST, POSTGRES_HOST, REDIS_HOST and their companions."""


def settings_or_exit(config: Path | None) -> Settings:
    """The settings, or all mistakes on standard error and exit code 2."""
    try:
        return load(config, os.environ)
    except SettingsError as error:
        for problem in error.problems:
            typer.echo(problem, err=True)
        count = len(error.problems)
        typer.echo(f"{count} mistake{'s' if count > 1 else ''} in the configuration; nothing was started.", err=True)
        raise typer.Exit(2) from None


def listening_socket(listen: str) -> socket.socket:
    """A socket that listens on `listen`, or a clear sentence and exit code 3 when it cannot be had (2: no address)."""
    try:
        host, port = host_and_port(listen)
    except ValueError as error:
        typer.echo(error, err=True)
        raise typer.Exit(2) from None
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, or asyncio would leave Nagle's algorithm on: 40 ms for each answer on a kept connection.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(_BACKLOG)
    except (OSError, TypeError) as error:
        bound.close()
        why = error.strerror if isinstance(error, OSError) else "it is no host name"
        typer.echo(f"Cannot listen on {listen}: {why}. Choose another address with `listen` or HA_LISTEN.", err=True)
        raise typer.Exit(3) from None
    return bound


@app.command()
def exporter(
    config: ConfigOption = None,
    listen: Annotated[
        str | None, typer.Option(help="HOST:PORT to serve on; wins over the file.", show_default=False)
    ] = None,
    log_level: Annotated[LogLevel, typer.Option(help="Least severe messages to log.")] = LogLevel.INFO,
) -> None:
    """
    Measure all targets and serve them to Prometheus on /metrics.

    With OTEL_EXPORTER_OTLP_ENDPOINT set, the same samples also go to that collector.
    """
    settings = settings_or_exit(config)
    targets = settings.all_targets()
    if not targets:
        typer.echo(_NO_TARGETS, err=True)
        raise typer.Exit(2)
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    import uvicorn

    from observability.exporter import application

    bound = listening_socket(listen or settings.listen)
    logging.getLogger("observability").info("serving %d targets on http://%s/metrics", len(targets), _address(bound))
    config_of_server = uvicorn.Config(
        application(targets),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=90,  # longer than Prometheus' usual interval, so that it need not connect for each scrape
        timeout_graceful_shutdown=3,
    )
    uvicorn.Server(config_of_server).run(sockets=[bound])


@app.command(name="check-config")
def check_config(
    config: Annotated[
        Path | None, typer.Argument(help="YAML file; without one, the environment is checked.", show_default=False)
    ] = None,
) -> None:
    """
    Read the configuration and report every mistake with its line and the way out; connect to nothing.

    Exit code 0 when it is right, 2 when it is not.
    """
    settings = settings_or_exit(config)
    targets = settings.all_targets()
    if not targets:
        typer.echo(_NO_TARGETS, err=True)
        raise typer.Exit(2)
    systems = ", ".join(f"{count} {system}" for system, count in sorted(Counter(t.system for t in targets).items()))
    typer.echo(f"{config or 'environment'}: right. {len(targets)} targets ({systems}), served on {settings.listen}.")
    for target in targets:
        typer.echo(
            f"  {target.cluster}  {target.name}  {target.system}  {target.address}{f'  zone {target.zone}' if target.zone else ''}"
        )


def _address(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
