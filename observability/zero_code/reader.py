"""
Serves the metrics of a program from a process beside it, for as long as anything of the program runs.

A process of its own, so that a program that hangs, or that is killed, still has somebody who tells what it was like.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any, ClassVar
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from observability.exposition import wsgi_metrics_app
from observability.instrumentation.workers.directory import ANY_RUN, Directory
from observability.instrumentation.workers.group import Group

_LOOK_SECONDS = 0.1
_SLOWEST_REQUEST_SECONDS = 10.0


class _Handler(WSGIRequestHandler):
    timeout: ClassVar[float | None] = _SLOWEST_REQUEST_SECONDS

    def log_message(self, *_: Any) -> None:
        """Say nothing: the terminal is the program's."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, listening: socket.socket) -> None:
        address = listening.getsockname()[:2]
        super().__init__(address, _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.server_name, self.server_port = address
        self.setup_environ()


def serve(listening: socket.socket, directory: Directory, program: int) -> None:
    """Serve until the program has ended, and every worker of it."""
    server = _Server(listening)
    server.set_app(wsgi_metrics_app([Group(directory).collect]))
    threading.Thread(target=server.serve_forever, args=(_LOOK_SECONDS,), daemon=True).start()
    _wait_for(program)
    while directory.somebody_lives():
        time.sleep(_LOOK_SECONDS)
    # Before the files go: who finds them gone may take the port.
    server.shutdown()
    server.server_close()


def main() -> None:
    """Run by `ha-observability run`: file descriptors of the socket and of who waits for us, the program, its directory."""
    listening, waiting, program = (int(word) for word in sys.argv[1:4])
    path = Path(sys.argv[4])
    directory = Directory(path / "workers")
    try:
        # What ends the program ends us in the end; until then somebody may want to see it end.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        directory.prepare()
        directory.begin(ANY_RUN)
        with os.fdopen(waiting, "w") as line:
            line.write("ready")
        serve(socket.socket(fileno=listening), directory, program)
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _wait_for(program: int) -> None:
    """Wait until a process has ended."""
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(program)
            select.select([descriptor], [], [])
        return
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.kill(program, 0)
            time.sleep(_LOOK_SECONDS)


if __name__ == "__main__":
    main()
