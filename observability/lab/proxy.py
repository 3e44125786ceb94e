"""
Lines for code that is not asynchronous: in a thread beside it, or as a program of their own.

As a program, `python -m observability.lab.proxy LISTEN UPSTREAM SOCKET`, a line takes its mode from a UNIX socket.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Self, TypeVar

from observability.lab.line import Line

T = TypeVar("T")


class LineThread:
    """A line that runs in a thread of its own, for code that is not asynchronous; close it at the end."""

    def __init__(self, upstream: int, *, port: int = 0) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"line to {upstream}", daemon=True)
        self._thread.start()
        self._line = self._run(_open(upstream, port))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def port(self) -> int:
        """Where clients connect."""
        return self._line.port

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return self._line.connections

    def resume(self) -> None:
        """Let bytes pass again, those held back first."""
        self._run(_call("resume", self._line))

    def stall(self) -> None:
        """Hold everything back without closing anything."""
        self._run(_call("stall", self._line))

    def cut(self) -> None:
        """Reset what is open and what is going to be opened."""
        self._run(_call("cut", self._line))

    def slow(self, seconds: float) -> None:
        """Delay each piece of data."""
        self._run(_call(f"slow {seconds}", self._line))

    def break_after(self, count: int) -> None:
        """Let `count` bytes of answers pass, then reset."""
        self._run(_call(f"break_after {count}", self._line))

    def close(self) -> None:
        """End the line and its thread."""
        if self._thread.is_alive():
            self._run(_finish(self._line))
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)


def tell(control: Path, command: str) -> None:
    """Set the mode of a line that runs as a program."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(5)
        line.connect(str(control))
        line.sendall(f"{command}\n".encode())
        answer = line.makefile().readline().strip()
    if answer != "ok":
        raise ValueError(answer)


async def _open(upstream: int, port: int) -> Line:
    line = Line(upstream, port=port)
    await line.open()
    return line


async def _finish(line: Line) -> None:
    """Close a line, and wait for connections too that were accepted in the last instant."""
    await line.close()
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.gather(*others, return_exceptions=True)


async def _call(command: str, line: Line) -> None:
    line.command(command)


async def _program(listen: int, upstream: int, control: str) -> None:
    line = await _open(upstream, listen)

    async def obey(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{line.command((await reader.readline()).decode())}\n".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_unix_server(obey, control) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_program(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
