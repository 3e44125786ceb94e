"""The running exporter: always an answer within the deadline, nothing leaked, nothing shared wrongly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

from observability.lab.pairs import PostgresPair, RedisPair
from observability.lab.ports import HOST
from observability.lab.proxy import LineThread
from observability.lab.ready import await_true
from observability.metrics import Metric
from observability.probes.cluster import BACKLOG, LAG, MASTERS, PRIMARIES, REDIS_BACKLOG, TARGETS
from observability.probes.postgres import senders
from observability.probes.postgres.server import ROLE
from observability.scrape import EXPORTER_INFO, SCRAPE_DURATION
from tests.live.core.page import Page
from tests.live.core.running import Exporter, exporter

NAMES = ("pg-1", "pg-2", "redis-1", "redis-2", "self")
SESSIONS = "FROM pg_stat_activity WHERE application_name = 'ha-observability'"


class Watched(NamedTuple):
    """A running exporter, and the lines over which it reaches the primaries."""

    exporter: Exporter
    pg_line: LineThread
    redis_line: LineThread

    def scrape(self, timeout: float = 5) -> Page:
        """One scrape."""
        return self.exporter.scrape(timeout)


@pytest.fixture(scope="module")
def running(
    postgres_pair: PostgresPair, redis_pair: RedisPair, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    """An exporter of both pairs and of its own health, for all tests of this file."""
    pg, redis = postgres_pair, redis_pair
    with LineThread(pg.primary.port) as pg_line, LineThread(redis.primary.port) as redis_line:
        targets: list[dict[str, Any]] = [
            {"name": "pg-1", "url": pg.primary.url().replace(f":{pg.primary.port}/", f":{pg_line.port}/")},
            {"name": "pg-2", "url": pg.standby.url()},
            {"name": "redis-1", "url": f"redis://{HOST}:{redis_line.port}/0"},
            {"name": "redis-2", "url": redis.replica.url()},
        ]
        for target in targets:
            server = pg.primary if "pg" in target["name"] else None
            file = server.password_file() if server else redis.primary.password_file
            target |= {"password_file": str(file), "timeout_seconds": 2, "zone": "a"}
        folder = tmp_path_factory.mktemp("exporter")
        with exporter(folder, targets) as process:
            yield Watched(process, pg_line, redis_line)


@pytest.fixture
def watched(running: Watched, postgres: PostgresPair, redis: RedisPair) -> Iterator[Watched]:
    """The exporter with all its targets well; what a test did to the pairs and lines is put right."""
    assert postgres.primary.answers()
    assert redis.primary.answers()
    assert set(states(running.scrape())) == {"ok"}
    yield running
    for line in (running.pg_line, running.redis_line):
        line.resume()


def states(page: Page) -> list[str]:
    """The states of all targets, in order."""
    return [page.state(name) for name in NAMES[:4]]


def test_page(watched: Watched) -> None:
    """Everything is on one page: targets, their cluster, the exporter; every series but its own names its cluster."""
    page = watched.scrape()
    roles = {name: [value for _, value in page.having(ROLE, server=name, zone="a")] for name in ("pg-1", "pg-2")}
    assert roles == {"pg-1": [1, 0], "pg-2": [0, 1]}
    found: dict[Metric, float | None] = {metric: page.value(metric) for metric in (PRIMARIES, MASTERS)}
    assert found == {PRIMARIES: 1, MASTERS: 1}
    assert [page.value(TARGETS, system=system) for system in ("postgres", "redis")] == [2, 2]
    assert [page.value(metric, server=name) for metric, name in ((BACKLOG, "pg-2"), (REDIS_BACKLOG, "redis-2"))] >= [
        0,
        0,
    ]
    assert page.value(LAG, server="pg-2") is not None
    ours = {name for name, labels in page.series if "cluster" not in dict(labels)}
    assert ours == {"ha_exporter_info", "ha_exporter_start_time_seconds", SCRAPE_DURATION.prometheus_name}
    assert page.value(EXPORTER_INFO) == 1


def test_frozen_servers_cost_their_own_samples(watched: Watched, postgres: PostgresPair, redis: RedisPair) -> None:
    """With a PostgreSQL and a Redis frozen, a scrape of one second is answered in time with all the others in it."""
    whole = watched.scrape()
    postgres.primary.process.freeze()
    redis.primary.process.freeze()
    for _ in range(2):
        page = watched.scrape(timeout=1)
        assert states(page) == ["hung", "ok", "hung", "ok"]
        assert page.of_server("pg-1") == page.of_server("redis-1") == set()
        assert (page.value(PRIMARIES), page.value(MASTERS)) == (0, 0)
        assert page.of_server("pg-2") == whole.of_server("pg-2") - {BACKLOG.prometheus_name, LAG.prometheus_name}
        assert page.of_server("redis-2") == whole.of_server("redis-2") - {REDIS_BACKLOG.prometheus_name}
    postgres.primary.process.thaw()
    redis.primary.process.thaw()
    page = watched.scrape()
    assert states(page) == ["ok"] * 4
    # The standby may have given its frozen primary up meanwhile; PostgreSQL forgets a lag once the receiver is idle.
    of_receivers = {metric.prometheus_name for metric in senders.METRICS}
    for name in ("pg-1", "redis-1", "redis-2"):
        assert page.of_server(name) - of_receivers == whole.of_server(name) - of_receivers
    assert (page.value(PRIMARIES), page.value(MASTERS)) == (1, 1)
    assert page.value(BACKLOG, server="pg-2") is not None


@pytest.mark.parametrize("timeout", [0.5, 1, 2])
def test_deadline_of_the_header_is_kept(watched: Watched, timeout: float) -> None:
    """However long Prometheus waits, it has its answer before, stalled lines or not."""
    watched.pg_line.stall()
    watched.redis_line.stall()
    assert states(watched.scrape(timeout)) == ["hung", "ok", "hung", "ok"]


def test_broken_lines_leave_nothing_behind(watched: Watched, postgres: PostgresPair) -> None:
    """After many cuts, stalls and recoveries there are as many sockets and sessions as before."""
    before = watched.exporter.process.num_fds()
    for number in range(12):
        for line in (watched.pg_line, watched.redis_line):
            (line.cut, line.resume, lambda line=line: line.break_after(200), line.resume)[number % 4]()
        watched.scrape()
    for line in (watched.pg_line, watched.redis_line):
        line.stall()
    for _ in range(3):
        watched.scrape(timeout=0.5)
        for line in (watched.pg_line, watched.redis_line):
            line.resume()
    assert states(watched.scrape()) == ["ok"] * 4
    assert await_true(lambda: postgres.primary.sql(f"SELECT count(*) {SESSIONS}") == "1", timeout_seconds=10)
    assert postgres.standby.sql(f"SELECT count(*) {SESSIONS}") == "1"
    assert watched.exporter.process.num_fds() <= before
    assert watched.exporter.process.num_threads() < 20


def test_sessions_are_idle_between_scrapes(watched: Watched, postgres: PostgresPair) -> None:
    """The kept session holds no transaction, no snapshot and no lock, and may not write."""
    watched.scrape()
    held = "SELECT state, backend_xmin IS NULL, xact_start IS NULL, (SELECT count(*) FROM pg_locks WHERE pid = a.pid) "
    for server in (postgres.primary, postgres.standby):
        assert server.sql(f"{held} {SESSIONS.replace('activity', 'activity a')}") == "idle|t|t|0"


def test_killed_session_is_replaced_within_the_scrape(watched: Watched, postgres: PostgresPair) -> None:
    """A session that an administrator ended is no reason to call the server down."""
    before = postgres.primary.sql(f"SELECT pid {SESSIONS}")
    postgres.primary.sql(f"SELECT pg_terminate_backend(pid) {SESSIONS}")
    page = watched.scrape()
    assert (page.state("pg-1"), page.errors("pg-1")) == ("ok", {})
    assert postgres.primary.sql(f"SELECT pid {SESSIONS}") not in {before, ""}


def test_overlapping_scrapes_share_one_run(watched: Watched, redis: RedisPair) -> None:
    """Eight scrapes at once cost each target one look, and get the same answer."""
    with redis.primary.client() as client:
        watched.redis_line.slow(0.3)
        before = client.info("commandstats")["cmdstat_info"]["calls"]
        with ThreadPoolExecutor(8) as pool:
            pages = list(pool.map(lambda _: watched.scrape(), range(8)))
        after = client.info("commandstats")["cmdstat_info"]["calls"]
    assert [page.state("redis-1") for page in pages] == ["ok"] * 8
    own = 1  # the test's own question before
    assert after - before - own <= 3  # one, unless this machine was too busy to begin all eight at once


def test_client_that_hangs_up_breaks_nothing(watched: Watched) -> None:
    """A Prometheus that gives up in the middle of a scrape leaves the next one alone."""
    import httpx

    watched.pg_line.slow(0.3)
    with httpx.Client(trust_env=False, verify=False) as client, pytest.raises(httpx.ReadTimeout):
        client.get(f"http://{HOST}:{watched.exporter.port}/metrics", timeout=0.1)
    watched.pg_line.resume()
    assert states(watched.scrape()) == ["ok"] * 4


def test_probe(watched: Watched) -> None:
    """One target alone: its samples and nobody else's."""
    page = Page.of(watched.exporter.get("/probe?target=pg-2", timeout=5).text)
    assert {dict(labels)["server"] for _, labels in page.series} == {"pg-2"}
    assert page.state("pg-2") == "ok"


def test_probe_explains(watched: Watched) -> None:
    """`debug=1` shows what was asked, answered and made of it; of a failure, why."""
    text = watched.exporter.get("/probe?target=redis-2&debug=1").text
    for part in (
        "target redis-2 (redis, cluster demo)\nstate  ok ",
        "asked    INFO everything\n",
        '"role": "slave"',
        "\nha_redis_role{",
    ):
        assert part in text
    watched.redis_line.cut()
    text = watched.exporter.get("/probe?target=redis-1&debug=1").text
    assert "state  closed" in text
    assert "\nfailed   closed: ConnectionError: " in text


def test_unknown_target(watched: Watched) -> None:
    """A target that is not configured is not asked: 404, and which ones there are."""
    answers = [watched.exporter.get(f"/probe{query}") for query in ("", "?target=", "?target=evil:5432&debug=1")]
    assert [answer.status_code for answer in answers] == [404] * 3
    assert answers[2].text == "No target is called 'evil:5432'. Configured: pg-1, pg-2, redis-1, redis-2.\n"


def test_its_own_health_is_not_its_targets(watched: Watched) -> None:
    """With both lines cut it is healthy and ready, and says which targets are down."""
    for line in (watched.pg_line, watched.redis_line):
        line.cut()
    assert states(watched.scrape()) == ["closed", "ok", "closed", "ok"]
    answers = [watched.exporter.get(path) for path in ("/-/healthy", "/-/ready")]
    assert [(answer.status_code, answer.text) for answer in answers] == [(200, "OK\n")] * 2


def test_landing_page(watched: Watched) -> None:
    """A person finds each target's explanation by a link."""
    page = watched.exporter.get("/").text
    for name in NAMES[:4]:
        assert f'<a href="/probe?target={name}&amp;debug=1">{name}</a>' in page


def test_ends_when_asked_and_takes_its_sessions_along(
    postgres: PostgresPair, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """SIGTERM ends it cleanly, even with a scrape under way; its sessions go with it."""
    with LineThread(postgres.standby.port) as line:
        target = {
            "name": "pg-2",
            "url": postgres.standby.url().replace(f":{postgres.standby.port}/", f":{line.port}/"),
            "password_file": str(postgres.standby.password_file()),
        }
        with ThreadPoolExecutor(1) as pool, exporter(tmp_path_factory.mktemp("ending"), [target]) as process:
            assert process.scrape().state("pg-2") == "ok"
            line.stall()
            pool.submit(process.get, "/metrics")
        assert "Traceback" not in process.log.read_text()
    sessions: Callable[[], bool] = lambda: postgres.standby.sql(f"SELECT count(*) {SESSIONS}") <= "1"  # noqa: E731
    assert await_true(sessions, timeout_seconds=10)


def test_log_of_a_bad_day_has_no_traceback(watched: Watched) -> None:
    """Whatever happened to the targets in the tests above was expected: nothing of it is an error of the exporter."""
    assert "Traceback" not in watched.exporter.log.read_text()
