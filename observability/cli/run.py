"""`run`: a program with every engine in it instrumented, and its metrics on a port of their own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from observability.instrumentation.workers.directory import memory_or_temporary
from observability.instrumentation.workers.membership import VARIABLE

app = typer.Typer(add_completion=False)

_BOOTSTRAP = Path(__file__).parent.parent / "zero_code" / "bootstrap"
_BACKLOG = 64
_CANNOT_LISTEN, _CANNOT_START, _NOT_FOUND = 3, 126, 127


@app.command(context_settings={"allow_interspersed_args": False})
def run(
    command: Annotated[list[str], typer.Argument(help="The program and its arguments.", show_default=False)],
    listen: Annotated[str, typer.Option(help="HOST:PORT to serve the program's metrics on.")] = "127.0.0.1:9941",
) -> None:
    """
    Run a program, instrument every SQLAlchemy engine that it creates, and serve its metrics.

    The program takes the place of this command: it has its pid, gets its signals and gives its exit code. Its children,
    workers that it starts among them, are instrumented as well, and are told together.

        ha-observability run -- uvicorn app:app --workers 4

        ha-observability run --listen 0.0.0.0:9941 -- python worker.py
    """
    program = shutil.which(command[0])
    if program is None:
        _refuse(f"{command[0]}: there is no such program.", _NOT_FOUND)
    listening = _listening(listen)
    directory = Path(tempfile.mkdtemp(prefix="ha-observability-run-", dir=memory_or_temporary(os.environ)))
    _start_reader(listening, directory)
    if listening.getsockname()[1] != _host_and_port(listen)[1] or sys.stderr.isatty():
        host, port = listening.getsockname()[:2]
        typer.echo(
            f"ha-observability: metrics on http://{f'[{host}]' if ':' in host else host}:{port}/metrics", err=True
        )
    listening.close()
    _become(program, command, directory)


def _listening(listen: str) -> socket.socket:
    host, port = _host_and_port(listen)
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(_BACKLOG)
    except OSError as error:
        _refuse(f"Cannot listen on {listen}: {error.strerror}. Choose another address with --listen.", _CANNOT_LISTEN)
    return bound


def _host_and_port(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not port.isdecimal() or not host:
        _refuse(f"--listen needs HOST:PORT, such as 127.0.0.1:9941, not {listen!r}.", 2)
    return host.strip("[]"), int(port)


def _start_reader(listening: socket.socket, directory: Path) -> None:
    """
    Start the process that serves, and wait until it does.

    It is not a child of the program to be, which may wait for its children, and does not get what a terminal sends.
    """
    waiting, ready = os.pipe()
    mine = os.getpid()
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nothing, standard)
        for kept in (listening.fileno(), ready):
            os.set_inheritable(kept, True)
        words = [str(word) for word in (listening.fileno(), ready, mine, directory)]
        # Without -P a file of the program could be taken for one of Python's own.
        os.execv(sys.executable, [sys.executable, "-P", "-m", "observability.zero_code.reader", *words])  # noqa: S606
    os.waitpid(child, 0)
    os.close(ready)
    with os.fdopen(waiting) as line:
        if line.read() != "ready":
            shutil.rmtree(directory, ignore_errors=True)
            _refuse("The process that is to serve the metrics did not start; the program was not started either.", 1)


def _become(program: str, command: list[str], directory: Path) -> NoReturn:
    environ = dict(os.environ)
    environ["PYTHONPATH"] = os.pathsep.join([str(_BOOTSTRAP), *filter(None, [environ.get("PYTHONPATH")])])
    environ["HA_RUN_PID"] = str(os.getpid())
    environ[VARIABLE] = str(directory)
    # Python ignores these, which the program would inherit.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execve(program, command, environ)  # noqa: S606 -- the command is the user's own
    except OSError as error:
        _refuse(f"{command[0]} cannot be started: {error.strerror}.", _CANNOT_START)


def _refuse(sentence: str, code: int) -> NoReturn:
    typer.echo(f"ha-observability run: {sentence}", err=True)
    raise typer.Exit(code)
