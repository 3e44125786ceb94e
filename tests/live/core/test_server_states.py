"""Servers that are frozen, full, starting, stopping, slow, or hide things from our role: each is told apart."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis import Redis as RedisClient
from redis import exceptions as redis_errors

from observability.connect import Secret
from observability.lab.pairs import PostgresPair, RedisPair
from observability.lab.ports import HOST, free_port
from observability.lab.postgres import SUPERUSER, Postgres
from observability.lab.process import send
from observability.lab.program import redis_server
from observability.lab.ready import await_true, listens
from observability.probes.cluster import MASTERS, PRIMARIES
from observability.probes.postgres.activity import CONNECTIONS, CONNECTIONS_MAX, TRANSACTION_AGE
from observability.probes.postgres.replication import RECEIVER_STREAMING, WAL_POSITION
from observability.probes.postgres.senders import STANDBYS
from observability.probes.postgres.server import ROLE
from observability.probes.redis.server import LOADING
from tests.live.core.conftest import Scraping, postgres_target, redis_target, target


@asynccontextmanager
async def session(server: Postgres, role: str = SUPERUSER) -> AsyncIterator[Any]:
    """A session with a server, dropped at the end whatever became of the server."""
    connection = await asyncpg.connect(
        host=HOST, port=server.port, user=role, password=server.password(role), database="postgres", timeout=5
    )
    try:
        yield connection
    finally:
        connection.terminate()


async def eventually(check: Callable[[], bool]) -> bool:
    """Wait until it is true, without holding the loop up."""
    return await asyncio.to_thread(await_true, check, timeout_seconds=10)


async def test_frozen(scraping: Scraping, postgres: PostgresPair, redis: RedisPair) -> None:
    """Servers stopped by SIGSTOP are hung, whether a connection was kept or must be opened; thawed, they are well."""
    scrape = scraping(
        postgres_target(postgres.primary),
        postgres_target(postgres.standby),
        redis_target(redis.primary),
        redis_target(redis.replica),
    )
    names = ("pg-1", "pg-2", "redis-1", "redis-2")
    assert [(await scrape()).state(name) for name in names] == ["ok"] * 4
    postgres.primary.process.freeze()
    redis.primary.process.freeze()
    for _ in range(2):
        page = await scrape()
        assert [page.state(name) for name in names] == ["hung", "ok", "hung", "ok"]
        assert page.of_server("pg-1") == page.of_server("redis-1") == set()
    redis.primary.process.thaw()
    postgres.primary.process.thaw()
    page = await scrape()
    assert [page.state(name) for name in names] == ["ok"] * 4


async def test_full_postgres(scraping: Scraping, postgres: PostgresPair) -> None:
    """Newcomers are refused for want of room; the kept connection goes on and sees how full it is."""
    kept = scraping(postgres_target(postgres.primary))
    page = await kept()
    limit = int(page.value(CONNECTIONS_MAX) or 0)
    async with AsyncExitStack() as stack:
        used = sum(value for _, value in page.having(CONNECTIONS))
        for _ in range(limit - int(used)):
            await stack.enter_async_context(session(postgres.primary))
        page, newcomers = await kept(), await scraping(postgres_target(postgres.primary))()
        assert (page.state("pg-1"), newcomers.state("pg-1")) == ("ok", "too_many_connections")
        assert sum(value for _, value in page.having(CONNECTIONS)) >= limit - 1
        assert newcomers.of_server("pg-1") == set()


async def test_starting_postgres(scraping: Scraping, postgres: PostgresPair) -> None:
    """A server that refuses sessions until it is ready is starting."""
    standby = postgres.standby
    standby.stop()
    standby.registry.start(
        standby.name,
        [standby.installation.programs / "postgres", "-D", standby.data, "-c", "hot_standby=off"],
        cwd=standby.data,
        account=standby.installation.account,
        ends_with=signal.SIGQUIT,
    )
    assert await eventually(listens(standby.port))
    assert (await scraping(postgres_target(standby))()).state("pg-2") == "starting"
    standby.stop()


async def test_stopping_postgres(scraping: Scraping, postgres: PostgresPair) -> None:
    """A server that waits for its last session to end takes no more, and is stopping; its kept sessions still answer."""
    standby = postgres.standby
    kept = scraping(postgres_target(standby))
    assert (await kept()).state("pg-2") == "ok"
    handle = standby.process.handle()
    assert handle is not None
    send(handle, signal.SIGTERM)
    state = "ok"
    while state == "ok":
        state = (await scraping(postgres_target(standby))()).state("pg-2")
    assert state == "stopping"
    assert (await kept()).state("pg-2") == "ok"
    await kept.scraper.close()
    assert await eventually(lambda: not handle.is_running() or handle.status() == "zombie")
    assert (await scraping(postgres_target(standby))()).state("pg-2") == "refused"


async def test_slow_postgres(scraping: Scraping, postgres: PostgresPair) -> None:
    """A statement that waits for a lock is cancelled by the server: slow, not hung; the other probes' samples stand."""
    scrape = scraping(postgres_target(postgres.primary))
    assert (await scrape()).errors("pg-1") == {}
    async with session(postgres.primary) as locker:
        await locker.execute("BEGIN; LOCK TABLE pg_catalog.pg_authid IN ACCESS EXCLUSIVE MODE")
        page = await scrape()
        assert page.state("pg-1") == "ok"
        # The second of them had less time left than the server takes to notice.
        assert page.errors("pg-1") == {"postgres.activity": "slow", "postgres.senders": "late"}
        assert page.value(WAL_POSITION, stage="flushed") is not None
    for _ in range(20):
        if (await scrape()).errors("pg-1") == {}:
            return
    raise AssertionError("not well again")


async def test_role_that_may_see_nothing(scraping: Scraping, postgres: PostgresPair) -> None:
    """Without pg_monitor what is hidden is absent for want of permission: never no sessions, no standbys, no receiver."""
    postgres.primary.sql("CREATE ROLE plain LOGIN PASSWORD 'plain'")
    assert await eventually(lambda: "plain" in postgres.standby.sql("SELECT rolname FROM pg_roles"))
    try:
        more: dict[str, Any] = {"user": "plain", "password": Secret("plain")}
        async with session(postgres.primary):
            page = await scraping(
                postgres_target(postgres.primary, **more), postgres_target(postgres.standby, **more)
            )()
    finally:
        postgres.primary.sql("DROP ROLE plain")
    hidden_of_primary = ("postgres.activity", "postgres.senders", "postgres.timeline")
    assert page.errors("pg-1") == dict.fromkeys(hidden_of_primary, "permission")
    assert page.errors("pg-2") == dict.fromkeys(("postgres.replication", "postgres.timeline"), "permission")
    assert (page.value(ROLE, server="pg-2", role="standby"), page.value(PRIMARIES)) == (1, 1)
    assert page.having(STANDBYS, server="pg-1") == page.having(TRANSACTION_AGE, server="pg-1") == []
    assert page.having(RECEIVER_STREAMING) == []
    assert page.value(CONNECTIONS, server="pg-1", state="unknown") == 1
    assert page.value(WAL_POSITION, server="pg-2", stage="replayed") is not None


async def test_full_redis(scraping: Scraping, redis: RedisPair) -> None:
    """Newcomers are refused for want of room; the kept connection goes on."""
    kept = scraping(redis_target(redis.primary))
    assert (await kept()).state("redis-1") == "ok"
    with redis.primary.client() as client:
        client.config_set("maxclients", 2)
        try:
            states = [(await each()).state("redis-1") for each in (kept, scraping(redis_target(redis.primary)))]
        finally:
            client.config_set("maxclients", 10_000)
    assert states == ["ok", "too_many_connections"]


async def test_what_a_user_of_redis_may(scraping: Scraping, redis: RedisPair) -> None:
    """A user that may only INFO is enough to watch; one that may not is told apart from a wrong password."""
    with redis.primary.client() as client:
        client.execute_command("ACL", "SETUSER", "watcher", "on", ">w", "-@all", "+info")
        client.execute_command("ACL", "SETUSER", "nobody", "on", ">n", "-@all", "+ping")
        try:
            page = await scraping(
                redis_target(redis.primary, name="may", user="watcher", password=Secret("w")),
                redis_target(redis.primary, name="may not", user="nobody", password=Secret("n")),
            )()
        finally:
            client.execute_command("ACL", "DELUSER", "watcher", "nobody")
    assert (page.state("may"), page.errors("may"), page.state("may not")) == ("ok", {}, "permission")


async def test_busy_redis(scraping: Scraping, redis: RedisPair) -> None:
    """A script that runs for ever makes the server slow; once it is killed the server is well."""
    scrape = scraping(redis_target(redis.primary))
    assert (await scrape()).state("redis-1") == "ok"
    with redis.primary.client() as client, redis.primary.client() as other:
        other.connection_pool.connection_kwargs["socket_timeout"] = 30
        client.config_set("lua-time-limit", 20)
        forever = asyncio.create_task(asyncio.to_thread(_run_until_killed, other))
        try:
            state = "ok"
            while state == "ok":  # until the script has begun
                state = (await scrape()).state("redis-1")
        finally:
            assert await eventually(lambda: _kill_script(client))
            assert "SCRIPT KILL" in await forever
            client.config_set("lua-time-limit", 5_000)
    assert state == "slow"
    assert (await scrape()).state("redis-1") == "ok"


def _run_until_killed(client: Any) -> str:
    """What the client of a script that has no end is told in the end."""
    try:
        return str(client.eval("while true do end", 0))
    except redis_errors.ResponseError as error:
        return str(error)


def _kill_script(client: Any) -> bool:
    try:
        client.script_kill()
    except redis_errors.ResponseError:
        return False  # it does not run yet
    return True


async def test_loading_redis(scraping: Scraping, tmp_path: Path) -> None:
    """A server that reads its dataset is starting and no master yet, though it answers INFO; then it is well."""
    port, program = free_port(), redis_server(tmp_path)
    base = [str(program), "--port", str(port), "--bind", HOST, "--dir", str(tmp_path), "--save", "", "--rdbcompression", "no"]  # fmt: skip
    scrape = scraping(target(name="r", system="redis", port=port, timeout_seconds=10))
    with _running(base):
        assert await eventually(listens(port))
        with RedisClient(host=HOST, port=port, socket_timeout=10) as client:
            client.mset({f"key:{number}": "x" * 2_000 for number in range(12_000)})
            client.save()
    # While it loads it looks at its connections once for each 2 MB, and connecting takes several such looks.
    with _running([*base, "--key-load-delay", "100"]):
        assert await eventually(listens(port))
        page = await scrape(10)
        assert (page.state("r"), page.value(LOADING), page.value(MASTERS)) == ("starting", 1, 0)
        while page.state("r") == "starting":
            page = await scrape(10)
        assert (page.state("r"), page.value(LOADING), page.value(MASTERS)) == ("ok", 0, 1)


class _running:  # noqa: N801 -- reads as a verb in `with`
    """A program that runs for the length of a block."""

    def __init__(self, argv: list[str]) -> None:
        self._argv = argv

    def __enter__(self) -> None:
        self._process = subprocess.Popen(self._argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGQUIT], ids=["killed", "immediate"])
async def test_killed_postgres(sign: int, scraping: Scraping, postgres: PostgresPair) -> None:
    """A server that is killed under a kept connection is gone at the next scrape, and back once it is started again."""
    scrape = scraping(postgres_target(postgres.standby))
    assert (await scrape()).state("pg-2") == "ok"
    postgres.standby.stop(sign)
    assert (await scrape()).state("pg-2") == "refused"
    postgres.heal()
    assert (await scrape()).state("pg-2") == "ok"
