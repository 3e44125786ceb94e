"""Four real workers of uvicorn under load: one scrape of their port is what was done, whatever happens to them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from observability.instrumentation.pool.metrics import CHECKINS, CHECKOUTS, MAX
from observability.instrumentation.workers.metrics import STARTS, UP
from tests.live.workers.serving import OVERFLOW, POOL_SIZE, Load, Server, serving, until, uvicorn

WORKERS = 4
CAPACITY = POOL_SIZE + OVERFLOW


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Uvicorn with four workers, which meet without being told where; a frozen one is left alone by its supervisor."""
    directory: Path = tmp_path_factory.mktemp("uvicorn")
    with serving(uvicorn(directory, WORKERS, "--timeout-worker-healthcheck", "60"), WORKERS) as running:
        yield running


def ups(server: Server) -> dict[str, float]:
    """Which workers answer."""
    return {labels[0]: value for labels, value in server.page()[UP.prometheus_name].items()}


def test_a_scrape_is_the_sum_of_all_workers(server: Server) -> None:
    """What the workers did, each of them something, is on the page, exactly; and so is what they hold together."""
    with Load(server) as load:
        until(lambda: len(load.answered) == WORKERS and load.answered.total() >= 200)
    assert server.value(CHECKOUTS, "core") == server.value(CHECKINS, "core") == server.requests == load.answered.total()
    assert server.value(MAX, "core") == WORKERS * CAPACITY
    page = server.page()
    assert sum(page["http_server_request_duration_seconds_count"].values()) == server.requests
    assert ups(server) == dict.fromkeys("0123", 1.0)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGABRT], ids=lambda how: how.name)
def test_a_worker_that_ends_under_load_takes_nothing_away(server: Server, how: signal.Signals) -> None:
    """The sums never go backwards, and at the end they are what was done: nothing of a killed worker is missing."""
    before, starts = server.requests, server.value(STARTS)
    seen: list[float] = []

    def replaced() -> bool:
        page = server.page()
        seen.append(page[CHECKOUTS.prometheus_name]["core",])
        return page[STARTS.prometheus_name][()] > starts and len(page[UP.prometheus_name]) == WORKERS

    with Load(server):
        until(lambda: server.requests > before + 100)
        victim = server.workers()[0]
        os.kill(victim, how)
        until(replaced)
    assert seen == sorted(seen)
    unwritten = server.value(CHECKOUTS, "core") - server.requests - server.unwritten
    # A worker may be killed after it has counted a request and before it has written it down.
    assert unwritten in {0, 1}
    server.unwritten += int(unwritten)
    assert victim not in server.workers()
    assert ups(server) == dict.fromkeys("0123", 1.0)


def test_a_frozen_worker_costs_only_what_it_alone_can_tell(server: Server) -> None:
    """It is told not to answer, its counters are there, the others' gauges too; thawed, it is as before."""
    frozen = server.workers()[0]
    os.kill(frozen, signal.SIGSTOP)
    try:
        began = time.monotonic()
        page = server.page()
        assert time.monotonic() - began < 10.0
        assert sorted(page[UP.prometheus_name].values()) == [0.0, 1.0, 1.0, 1.0]
        assert page[MAX.prometheus_name]["core",] == (WORKERS - 1) * CAPACITY
        assert page[CHECKOUTS.prometheus_name]["core",] == server.requests + server.unwritten
    finally:
        os.kill(frozen, signal.SIGCONT)
    until(lambda: ups(server) == dict.fromkeys("0123", 1.0))
    assert server.value(MAX, "core") == WORKERS * CAPACITY


def test_files_are_as_many_as_workers(server: Server) -> None:
    """After all that, there are files for four workers and for the sum of those that have ended."""
    groups = list(server.directory.glob("ha-observability-*/*"))
    assert len(groups) == 1
    assert sorted(entry.suffix for entry in groups[0].iterdir()) == sorted(
        [".cells", ".series", ".sock", ".lock"] * WORKERS + [".json", ".lock"]
    )
