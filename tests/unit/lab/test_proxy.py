"""A line lets through, holds back, delays and breaks what passes between two ends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from observability.lab.line import Line
from observability.lab.ports import HOST, free_port
from observability.lab.proxy import LineThread, tell
from observability.lab.ready import await_true, listens
from observability.lab.registry import Registry

RESET = rf"Errno ({errno.ECONNRESET}|{errno.ENOTCONN}|{errno.EPIPE})\b"
"""How a reset shows, depending on who is doing what when it arrives."""


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes, until the other side has said all."""
    with contextlib.suppress(OSError):
        while data := await reader.read(100):
            writer.write(data)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@pytest.fixture
async def upstream() -> AsyncIterator[int]:
    """The port of an echo server."""
    async with await asyncio.start_server(echo, HOST, 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
async def line(upstream: int) -> AsyncIterator[Line]:
    """An open line to the echo server."""
    line = Line(upstream)
    await line.open()
    yield line
    await line.close()


async def say(line: Line, text: bytes) -> bytes:
    """Send a text over a new connection and give all that comes back."""
    reader, writer = await asyncio.open_connection(HOST, line.port)
    try:
        writer.write(text)
        writer.write_eof()
        return await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_bytes_pass(line: Line) -> None:
    """What goes in comes back, and the connection ends when both sides have said all."""
    assert await say(line, b"hello") == b"hello"


async def test_slow_delays_and_keeps(line: Line) -> None:
    """A slow line brings everything, later."""
    line.slow(0.05)
    began = asyncio.get_running_loop().time()
    assert await say(line, b"hello") == b"hello"
    assert asyncio.get_running_loop().time() - began >= 0.1  # there and back


async def test_broken_answer_is_cut_short(line: Line) -> None:
    """Only so many bytes of an answer arrive before the reset."""
    line.break_after(3)
    reader, writer = await asyncio.open_connection(HOST, line.port)
    writer.write(b"hello")
    assert await reader.readexactly(3) == b"hel"
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.transport.abort()


async def test_stalled_bytes_arrive_after_the_stall(line: Line) -> None:
    """What was held back is not lost."""
    line.stall()
    answer = asyncio.create_task(say(line, b"hello"))
    done, _ = await asyncio.wait({answer}, timeout=0.1)
    line.resume()
    assert (done, await answer) == (set(), b"hello")


async def test_a_refusing_server_resets(upstream: int, line: Line) -> None:
    """Where nobody listens behind the line, nobody answers on it."""
    line.upstream = free_port()
    with pytest.raises(OSError, match=RESET):
        await say(line, b"hello")
    assert upstream != line.upstream


def test_a_line_beside_synchronous_code() -> None:
    """The thread counts connections and ends cleanly."""
    with LineThread(free_port()) as line:
        with contextlib.suppress(ConnectionResetError):  # nobody is behind the line
            socket.create_connection((HOST, line.port), timeout=5).close()
        assert await_true(lambda: line.connections == 0, timeout_seconds=5)


@pytest.mark.parametrize("words", ["explode", "slow", "slow x", "cut now"])
async def test_wrong_commands_are_refused(line: Line, words: str) -> None:
    """A command that is not understood changes nothing and is said back."""
    assert (line.command(words), await say(line, b"hello")) == (f"unknown: {words}", b"hello")


async def test_as_a_program_it_takes_commands(tmp_path: Path, upstream: int) -> None:
    """The lab's line runs in a process of its own and is told its mode over a socket."""
    registry, port, control = Registry(tmp_path), free_port(), tmp_path / "line.sock"
    try:
        registry.start("line", [sys.executable, "-m", "observability.lab.proxy", str(port), str(upstream), control])
        assert await asyncio.to_thread(await_true, listens(port), timeout_seconds=30)
        assert await asyncio.to_thread(await_true, control.exists, timeout_seconds=5)
        line = Line(0, port=port)
        assert await say(line, b"hello") == b"hello"
        await asyncio.to_thread(tell, control, "cut")
        with pytest.raises(OSError, match=RESET):
            await say(line, b"hello")
        with pytest.raises(ValueError, match="unknown: explode"):
            await asyncio.to_thread(tell, control, "explode")
    finally:
        await asyncio.to_thread(registry.stop_all)
