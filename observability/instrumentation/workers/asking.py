"""Asks workers over sockets, all at once and within a deadline, so that one that hangs costs nothing but its own answer."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_LONGEST_ADDRESS = 100
"""Bytes; systems allow from 104."""


@contextmanager
def address(path: Path) -> Iterator[str]:
    """The address of a socket in the file system; what is too long for one is reached through its open directory."""
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def ask(paths: Iterable[Path], deadline_seconds: float) -> dict[Path, bytes | None]:
    """The answer of each worker; None from one that lives and does not answer, nothing from one that has ended."""
    answers: dict[Path, bytes | None] = {}
    deadline = time.monotonic() + deadline_seconds
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:
        for path in paths:
            line = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            line.setblocking(False)
            connected = _connect(line, path)
            if connected is not None:
                answers[path] = None
            if connected:
                selector.register(line, selectors.EVENT_READ, (path, []))
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                path, parts = key.data
                part = _received(key.fileobj)  # type: ignore[arg-type]
                if part:
                    parts.append(part)
                    continue
                selector.unregister(key.fileobj)
                answers[path] = b"".join(parts) if parts and part is not None else None
    return {path: answer for path, answer in answers.items() if answer is not None or _lives(path)}


def _lives(path: Path) -> bool:
    """Whether a worker that did not answer is still there: it may have ended while it was asked."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.setblocking(False)
        return _connect(line, path) is not None


def _connect(line: socket.socket, path: Path) -> bool | None:
    """Whether the worker can be asked: None if it has ended, False if it hangs so long that nobody more can wait."""
    try:
        with address(path) as where:
            line.connect(where)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in {errno.ECONNREFUSED, errno.ENOENT, errno.ECONNRESET}:
            return None
        raise
    return True


def _received(line: socket.socket) -> bytes | None:
    """What has come; nothing at the end, None if the line broke."""
    try:
        return line.recv(65_536)
    except OSError:
        return None
