"""
Whatever is wrong with a server, its target says why within the deadline, and costs no other target anything.

The servers are real; lines that stall, break or drip and ports where something else listens stand between.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from observability.connect import Secret, Target, Tls
from observability.lab.pairs import PostgresPair, RedisPair
from observability.lab.proxy import LineThread
from observability.probes import PROBES
from observability.probes.http import DURATION, STATUS_CODE
from observability.scrape import PROBE_SUCCESS, SCRAPE_DURATION
from tests.live.core.conftest import (
    SCRAPE_SECONDS,
    Scraping,
    http_target,
    postgres_target,
    redis_target,
    target,
)
from tests.live.core.servers import Serve, dripping, http, listening, saying, silent

Lay = Callable[[int], LineThread]
CLOSED_PORT = 1
SLACK_SECONDS = 1.5
"""For a machine that is busy with other things: these tests assert the deadline, not a speed."""

OF_POSTGRES = [probe.name for probe in PROBES if probe.system == "postgres"]
WELL = ("pg-1", "pg-2", "redis-1", "redis-2")


@asynccontextmanager
async def ports(*serves: Serve) -> AsyncIterator[list[int]]:
    """The ports of several servers."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(listening(serve)) for serve in serves]


async def states(scraping: Scraping, well: tuple[Target, ...], faulty: dict[str, Target]) -> dict[str, str]:
    """The state of each faulty target, scraped once beside the well ones, which must not notice."""
    named = [replace(target, name=name) for name, target in faulty.items()]
    scrape = scraping(*well, *named)
    started = time.monotonic()
    page = await scrape()
    assert time.monotonic() - started < SCRAPE_SECONDS + SLACK_SECONDS
    assert {name: page.state(name) for name in WELL} == dict.fromkeys(WELL, "ok")
    for name in faulty:
        assert set(page.errors(name).values()) == {page.state(name)}
        assert page.of_server(name) == set()
    duration = page.value(SCRAPE_DURATION)
    assert duration is not None
    assert duration < SCRAPE_SECONDS + SLACK_SECONDS
    return {name: page.state(name) for name in faulty}


async def test_who_we_are_and_what_we_ask_for(
    scraping: Scraping, pairs: tuple[Target, ...], postgres: PostgresPair, redis: RedisPair, tmp_path: Path
) -> None:
    """Wrong passwords, roles, databases and files are told apart from servers that are not there."""
    pg, rd = postgres.primary, redis.primary
    (tmp_path / "not-utf8").write_bytes(b"\xff\xfe")
    faulty = {
        "pg refused": postgres_target(pg, port=CLOSED_PORT),
        "pg wrong password": postgres_target(pg, password=Secret("wrong")),
        "pg no password": postgres_target(pg, password=Secret()),
        "pg no password file": postgres_target(pg, password=Secret(path=tmp_path / "nothing")),
        "pg no text in it": postgres_target(pg, password=Secret(path=tmp_path / "not-utf8")),
        "pg unknown role": postgres_target(pg, user="nobody"),
        "pg unknown database": postgres_target(pg, database="nothing"),
        "pg unknown host": postgres_target(pg, host="no-such-host.invalid"),
        "redis refused": redis_target(rd, port=CLOSED_PORT),
        "redis wrong password": redis_target(rd, password=Secret("wrong")),
        "redis no password": redis_target(rd, password=Secret()),
        "redis no password file": redis_target(rd, password=Secret(path=tmp_path / "nothing")),
        "redis unknown user": redis_target(rd, user="nobody"),
        "redis unknown database": redis_target(rd, database="9999"),
        "web refused": http_target(CLOSED_PORT),
    }
    assert await states(scraping, pairs, faulty) == {
        "pg refused": "refused",
        "pg wrong password": "auth",
        "pg no password": "auth",
        "pg no password file": "auth",
        "pg no text in it": "auth",
        "pg unknown role": "auth",
        "pg unknown database": "database",
        "pg unknown host": "dns",
        "redis refused": "refused",
        "redis wrong password": "auth",
        "redis no password": "auth",
        "redis no password file": "auth",
        "redis unknown user": "auth",
        "redis unknown database": "database",
        "web refused": "refused",
    }


async def test_something_else_listens_there(
    scraping: Scraping, pairs: tuple[Target, ...], postgres: PostgresPair, redis: RedisPair
) -> None:
    """Real servers of another kind, and what only looks like one, are never taken for the target."""
    pg, rd = postgres.primary, redis.primary
    plain = Tls("disable")
    web, ssh = http(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), saying(b"SSH-2.0-x\r\n", first=True)
    async with ports(web, ssh, saying(b"\0" * 64), saying(b"+OK\r\n"), saying(b"$4\r\n\xff\xfe\xfd\xfc\r\n")) as found:
        web_port, ssh_port, zeros, ok, bytes_port = found
        faulty = {
            "pg at http": postgres_target(pg, port=web_port),
            "pg at ssh": postgres_target(pg, port=ssh_port),
            "pg at zeros": postgres_target(pg, port=zeros),
            "pg without tls at ssh": postgres_target(pg, port=ssh_port, tls=plain),
            "pg without tls at zeros": postgres_target(pg, port=zeros, tls=plain),
            "redis at postgres": redis_target(rd, port=pg.port),
            "redis at http": redis_target(rd, port=web_port),
            "redis at ssh": redis_target(rd, port=ssh_port),
            "redis at zeros": redis_target(rd, port=zeros),
            "redis at yes-man": redis_target(rd, port=ok, password=Secret()),
            "redis at no text": redis_target(rd, port=bytes_port, password=Secret()),
            "web at postgres": http_target(pg.port),
            "web at zeros": http_target(zeros),
        }
        assert await states(scraping, pairs, faulty) == {
            "pg at http": "hung",  # the web server waits for the end of what it takes for a request
            "pg at ssh": "protocol",
            "pg at zeros": "protocol",
            "pg without tls at ssh": "protocol",
            "pg without tls at zeros": "protocol",
            "redis at postgres": "closed",
            "redis at http": "hung",
            "redis at ssh": "protocol",
            "redis at zeros": "protocol",
            "redis at yes-man": "protocol",
            "redis at no text": "protocol",
            "web at postgres": "closed",
            "web at zeros": "protocol",
        }


async def test_no_answer_in_time(
    scraping: Scraping, pairs: tuple[Target, ...], postgres: PostgresPair, redis: RedisPair, line: Lay
) -> None:
    """Servers that accept and say nothing, and lines that are stalled or let a byte a second through, are hung."""
    pg, rd = postgres.primary, redis.primary
    stalled_pg, stalled_redis = line(pg.port), line(rd.port)
    stalled_pg.stall()
    stalled_redis.stall()
    half_an_answer = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal")
    async with ports(silent(), dripping(pg.port), dripping(rd.port), half_an_answer) as found:
        nobody, pg_drops, redis_drops, half = found
        faulty = {
            "pg silent": postgres_target(pg, port=nobody),
            "pg silent without tls": postgres_target(pg, port=nobody, tls=Tls("disable")),
            "pg silent with tls": postgres_target(pg, port=nobody, tls=Tls("verify-full")),
            "pg stalled": postgres_target(pg, port=stalled_pg.port),
            "pg drops": postgres_target(pg, port=pg_drops),
            "redis silent": redis_target(rd, port=nobody),
            "redis silent with tls": redis_target(rd, port=nobody, tls=Tls("verify-full")),
            "redis stalled": redis_target(rd, port=stalled_redis.port),
            "redis drops": redis_target(rd, port=redis_drops),
            "web silent": http_target(nobody),
            "web half an answer": http_target(half),
        }
        assert await states(scraping, pairs, faulty) == dict.fromkeys(faulty, "hung")


async def test_web_that_drips(scraping: Scraping) -> None:
    """A web server that sends a byte a second, each within any read timeout, is hung at the deadline."""
    async with ports(http()) as (web,), ports(dripping(web)) as (drops,):
        page = await scraping(http_target(drops))()
    assert (page.state("web"), page.of_server("web")) == ("hung", set())


async def test_web_with_an_error(scraping: Scraping) -> None:
    """A status that was not expected is a failure whose figures stand; expected ones are configured."""
    async with ports(http(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")) as (busy,):
        page = await scraping(http_target(busy))()
        assert (page.state("web"), page.errors("web")) == ("status", {"http.response": "status"})
        assert page.value(STATUS_CODE, server="web") == 503
        assert page.value(DURATION, server="web") is not None
        assert (await scraping(http_target(busy, expect_status=frozenset({503})))()).state("web") == "ok"


async def test_web_that_sends_without_end(scraping: Scraping) -> None:
    """An answer larger than a health endpoint's can be is not read to its end."""
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * (3 << 20)
    async with ports(saying(endless)) as (port,):
        assert (await scraping(http_target(port))()).state("web") == "protocol"


async def test_password_of_another_target_is_not_sent(scraping: Scraping, monkeypatch: pytest.MonkeyPatch) -> None:
    """A target without a password gets none, whatever libpq's variables of the process hold."""
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    monkeypatch.setenv("PGTARGETSESSIONATTRS", "standby")
    heard = bytearray()

    async def asking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(8)
        writer.write(b"N")
        await reader.read(1_024)
        writer.write(b"R\0\0\0\x08\0\0\0\x03")  # the password in clear, please
        heard.extend(await reader.read(1_024))

    async with ports(asking) as (port,):
        await scraping(target(name="x", system="postgres", port=port, user="u"))()
    assert bytes(heard) == b"p\0\0\0\x05\0"


@pytest.mark.parametrize("count", [1, 30, 400, 3_000])
async def test_answer_that_breaks_off(
    count: int, scraping: Scraping, postgres: PostgresPair, redis: RedisPair, line: Lay
) -> None:
    """A line that breaks after so many bytes, in logging in or in an answer: closed; well again once it is whole."""
    pg_line, redis_line = line(postgres.primary.port), line(redis.primary.port)
    scrape = scraping(
        postgres_target(postgres.primary, port=pg_line.port), redis_target(redis.primary, port=redis_line.port)
    )
    for each in (pg_line, redis_line):
        each.break_after(count)
    page = await scrape()
    assert {page.state(name) for name in ("pg-1", "redis-1")} <= {"closed", "ok"}
    assert page.state("redis-1") == "closed"
    for each in (pg_line, redis_line):
        each.resume()
    page = await scrape()
    assert (page.state("pg-1"), page.state("redis-1"), page.errors("pg-1")) == ("ok", "ok", {})


async def test_kept_connection_breaks_in_an_answer(scraping: Scraping, postgres: PostgresPair, line: Lay) -> None:
    """What was answered before the line broke counts; the rest is closed, and nothing of it is made up."""
    pg_line = line(postgres.primary.port)
    scrape = scraping(postgres_target(postgres.primary, port=pg_line.port))
    assert (await scrape()).errors("pg-1") == {}
    pg_line.break_after(700)
    page = await scrape()
    failed = page.errors("pg-1")
    assert set(failed.values()) == {"closed"}
    assert len(failed) + len([1 for _, ok in page.having(PROBE_SUCCESS, server="pg-1") if ok]) == len(OF_POSTGRES)


async def test_cut_and_mended(scraping: Scraping, postgres: PostgresPair, redis: RedisPair, line: Lay) -> None:
    """While a line is cut its target is down; at the first scrape after it was mended the target is up."""
    pg_line, redis_line = line(postgres.primary.port), line(redis.primary.port)
    scrape = scraping(
        postgres_target(postgres.primary, port=pg_line.port), redis_target(redis.primary, port=redis_line.port)
    )
    seen = []
    for _ in range(2):
        for change in (LineThread.resume, LineThread.cut):
            for each in (pg_line, redis_line):
                change(each)
            page = await scrape()
            seen.append((page.state("pg-1"), page.state("redis-1")))
    assert seen == [("ok", "ok"), ("closed", "closed")] * 2
