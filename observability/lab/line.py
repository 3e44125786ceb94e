"""A TCP line to a server that can be stalled, cut, slowed or broken in the middle of an answer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import cast

from observability.lab.ports import HOST

_CHUNK = 65536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: closing sends a reset


class Line:
    """
    A line from `port` to a server at `upstream`, both on loopback.

    Its modes, which also apply to connections that are open:

    * `resume`: bytes pass at once;
    * `stall`: connections open and stay open, but no byte passes, as with a cable pulled out;
    * `cut`: every connection is reset;
    * `slow`: each piece of data waits for so many seconds;
    * `break_after`: so many bytes of answers pass, then the connection is reset.
    """

    def __init__(self, upstream: int, *, port: int = 0) -> None:
        self.upstream = upstream
        self.port = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._passing = asyncio.Event()
        self._passing.set()
        self._is_cut = False
        self._delay_seconds = 0.0
        self._left: int | None = None

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return len(self._serving)

    async def open(self) -> None:
        """Listen on the port; with port 0 the system chooses one."""
        self._server = await asyncio.start_server(self._serve, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """End every connection and stop listening."""
        if self._server:
            # A connection that was accepted a moment ago must reach the server before it closes, or it would leak.
            for listener in self._server.sockets:
                asyncio.get_running_loop().remove_reader(listener.fileno())
            await asyncio.sleep(0)
            self._server.close()
            self.cut()
            await self._server.wait_closed()
            await asyncio.gather(*self._serving, return_exceptions=True)

    def resume(self) -> None:
        """Let bytes pass again, those held back first."""
        self._is_cut, self._delay_seconds, self._left = False, 0.0, None
        self._passing.set()

    def stall(self) -> None:
        """Hold everything back without closing anything."""
        self.resume()
        self._passing.clear()

    def cut(self) -> None:
        """Reset what is open and what is going to be opened."""
        self.resume()
        self._is_cut = True
        self._reset()

    def slow(self, seconds: float) -> None:
        """Delay each piece of data."""
        self.resume()
        self._delay_seconds = seconds

    def break_after(self, count: int) -> None:
        """Let `count` bytes of answers pass, then reset."""
        self.resume()
        self._left = count

    def command(self, text: str) -> str:
        """Set the mode from a line of text such as `slow 0.5`; gives `ok` or what is wrong."""
        name, *arguments = text.split()
        modes = {
            "resume": self.resume,
            "stall": self.stall,
            "cut": self.cut,
            "slow": self.slow,
            "break_after": self.break_after,
        }
        try:
            modes[name](*(float(argument) for argument in arguments))  # type: ignore[operator]
        except (KeyError, TypeError, ValueError):
            return f"unknown: {text.strip()}"
        return "ok"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._serving.add(task)
        self._writers.add(writer)
        try:
            if self._is_cut:
                _abort(writer)
                return
            await self._join(reader, writer)
        except OSError:
            _abort(writer)  # the server refuses: so does the line
        finally:
            self._writers.discard(writer)
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self._serving.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._passing.wait()
        answers, questions = await asyncio.open_connection(HOST, self.upstream)
        self._writers.add(questions)
        if self._is_cut:  # the mode may have changed while we connected
            self._reset()
        try:
            await asyncio.gather(self._pump(reader, questions), self._pump(answers, writer, counted=True))
        finally:
            self._writers.discard(questions)
            for each in (questions, writer):
                each.close()
                with contextlib.suppress(OSError):
                    await each.wait_closed()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool = False) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await asyncio.sleep(self._delay_seconds)
                await self._passing.wait()
                if counted and self._left is not None:
                    data, self._left = data[: self._left], self._left - len(data[: self._left])
                writer.write(data)
                await writer.drain()
                if counted and self._left == 0:
                    self._reset()
            writer.write_eof()

    def _reset(self) -> None:
        for writer in list(self._writers):
            _abort(writer)


def _abort(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
