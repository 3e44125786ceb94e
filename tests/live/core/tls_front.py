"""A real server behind TLS. With blocking sockets: asyncio cannot yet end a handshake that fails without a warning."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import Self

from observability.lab.ports import HOST

_CHUNK = 65_536


class TlsFront:
    """
    Listens on `port`, speaks TLS, and passes everything on to a server in clear.

    `asks_first` is PostgreSQL's way, whose clients begin in clear and ask whether they may encrypt.
    """

    def __init__(self, upstream: int, context: ssl.SSLContext, *, asks_first: bool) -> None:
        self._upstream = upstream
        self._context = context
        self._asks_first = asks_first
        self._open: list[socket.socket] = []
        self._server = socket.create_server((HOST, 0))
        self.port: int = self._server.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()
        for each in (self._server, *self._open):
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self._open.append(client)
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._asks_first:
                client.recv(8)
                client.sendall(b"S")
            secured = self._context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
            self._open.append(secured)
            if not _shook_hands(secured):
                return
            upstream = socket.create_connection((HOST, self._upstream))
            self._open.append(upstream)
            self._start(_pump, upstream, secured)
            _pump(secured, upstream)

    def _start(self, target: object, *arguments: socket.socket) -> None:
        self._threads.append(threading.Thread(target=target, args=arguments))  # type: ignore[arg-type]
        self._threads[-1].start()


def _shook_hands(secured: ssl.SSLSocket) -> bool:
    """Whether the client trusts us and speaks TLS at all; else it is hung up on."""
    try:
        secured.do_handshake()
    except OSError:
        secured.shutdown(socket.SHUT_RDWR)
        return False
    return True


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
