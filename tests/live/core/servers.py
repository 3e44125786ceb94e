"""Servers that misbehave in ways that no real one can be asked for: they run in the test's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from observability.lab.ports import HOST

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[int]:
    """The port of a server whose connections are served by `serve` and closed by the server's end at the latest."""
    writers: set[asyncio.StreamWriter] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            with contextlib.suppress(OSError):
                await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(accept, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()
        await asyncio.sleep(0)


def silent() -> Serve:
    """Reads whatever comes and never says a word."""

    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            pass

    return serve


def saying(answer: bytes, *, first: bool = False) -> Serve:
    """Gives the same answer to everything; with `first` it speaks before it is asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if first:
            writer.write(answer)
        while await reader.read(65_536):
            writer.write(answer)
            await writer.drain()

    return serve


def dripping(upstream: int, interval_seconds: float = 1.0) -> Serve:
    """A line to a real server that lets its answers through one byte at a time."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, questions = await asyncio.open_connection(HOST, upstream)
        try:
            await asyncio.gather(_pass_on(reader, questions), _drip(answers, writer, interval_seconds))
        finally:
            questions.close()

    return serve


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def _drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, interval_seconds: float) -> None:
    while data := await reader.read(1):
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(interval_seconds)


def http(answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nOK\n") -> Serve:
    """A small HTTP server: the same answer to each request, the connection kept."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(answer)
            await writer.drain()

    async def until_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await serve(reader, writer)

    return until_closed
