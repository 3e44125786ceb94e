"""The runtime: lag that was, lag that is, pauses, and figures that the system confirms."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop

from observability.instrumentation import registry
from observability.instrumentation.requests.middleware import RequestMetrics
from observability.instrumentation.runtime import loops, metrics, process
from observability.instrumentation.runtime.monitor import RuntimeMetrics, runtime_metrics
from tests.unit.instrumentation.driving import answering, drive, values

SHORT_SECONDS = 0.01
LOOPS = [pytest.param(asyncio.new_event_loop, id="asyncio"), pytest.param(uvloop.new_event_loop, id="uvloop")]
NewLoop = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture
def runtime() -> Iterator[RuntimeMetrics]:
    """Watched for one test."""
    runtime = RuntimeMetrics()
    yield runtime
    runtime.stop()


def run(new_loop: NewLoop, main: Callable[[], Any]) -> None:
    """Run a coroutine function in a loop of its own."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("new_loop", LOOPS)
def test_lag(new_loop: NewLoop, runtime: RuntimeMetrics) -> None:
    """A callback that blocks the loop is seen, by everyone who asks."""

    async def main() -> None:
        runtime.watch(asyncio.get_running_loop(), name="web", interval_seconds=SHORT_SECONDS)
        await asyncio.sleep(5 * SHORT_SECONDS)
        time.sleep(0.2)  # noqa: ASYNC251 -- what it must find
        await asyncio.sleep(5 * SHORT_SECONDS)
        first, second = (values(runtime.collect(), metrics.LAG_MAX)["web",] for _ in range(2))
        assert first > 0.15
        assert first == second
        assert values(runtime.collect(), metrics.LAG)["web",] >= 2

    run(new_loop, main)


def test_lag_of_a_loop_that_is_blocked_now(runtime: RuntimeMetrics) -> None:
    """A loop that hangs is seen from another thread while it hangs."""
    blocked, free = threading.Event(), threading.Event()

    async def main() -> None:
        runtime.watch(asyncio.get_running_loop(), name="stuck", interval_seconds=SHORT_SECONDS)
        await asyncio.sleep(2 * SHORT_SECONDS)
        blocked.set()
        free.wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    blocked.wait()
    while values(runtime.collect(), metrics.LAG_MAX)["stuck",] < 0.1:
        time.sleep(SHORT_SECONDS)
    free.set()
    thread.join()


@pytest.mark.parametrize("new_loop", LOOPS)
def test_a_closed_loop_is_let_go(new_loop: NewLoop, runtime: RuntimeMetrics) -> None:
    """What a closed loop has counted remains; the loop and its longest lag do not."""
    seen: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        seen.append(weakref.ref(loop))
        for _ in range(2):
            runtime.watch(loop, interval_seconds=SHORT_SECONDS)
        while values(runtime.collect(), metrics.LAG)["main",] < 3 * len(seen):  # noqa: ASYNC110 -- there is no event
            await asyncio.sleep(SHORT_SECONDS)

    for _ in range(2):
        run(new_loop, main)
    gc.collect()
    assert [ref() for ref in seen] == [None, None]
    assert values(runtime.collect(), metrics.LAG)["main",] >= 6
    assert values(runtime.collect(), metrics.LAG_MAX) == {}
    assert runtime._loops == []


async def test_the_longest_lag_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lag stays the longest for a minute and no more."""
    now = 1000.0
    monkeypatch.setattr(loops, "perf_counter", lambda: now)
    watch = loops.LoopWatch(asyncio.get_running_loop(), "x", 100.0)
    watch._begin()
    now += 107
    watch._tick()
    longest = []
    for _ in range(8):
        now += 110
        watch._due = now
        watch._tick()
        longest.append(watch.longest())
    watch.stop()
    assert longest == [7, 7, 7, 7, 7, 0, 0, 0]


def test_pauses(runtime: RuntimeMetrics) -> None:
    """Each run of the collector is counted under its generation, and the collector's own figures agree."""
    gc.disable()
    before = values(runtime.collect(), metrics.PAUSE)
    for generation, times in ((0, 3), (1, 2), (2, 1)):
        for _ in range(times):
            gc.collect(generation)
    after = values(runtime.collect(), metrics.PAUSE)
    gc.enable()
    assert {labels: after[labels] - before[labels] for labels in after} == {("0",): 3, ("1",): 2, ("2",): 1}
    stats = {(str(number),): each["collections"] for number, each in enumerate(gc.get_stats())}
    assert values(runtime.collect(), metrics.COLLECTIONS) == stats


@pytest.mark.skipif(sys.platform != "linux", reason="other systems tell less")
def test_what_the_system_says(runtime: RuntimeMetrics) -> None:
    """The figures are those that psutil reads for itself."""
    batches, truth = runtime.collect(), psutil.Process()
    descriptors = truth.num_fds() - 1  # it has one open to count them
    assert values(batches, metrics.THREADS)[()] == truth.num_threads()
    assert values(batches, metrics.DESCRIPTORS)[()] == descriptors
    assert values(batches, metrics.DESCRIPTOR_LIMIT)[()] == truth.rlimit(psutil.RLIMIT_NOFILE)[0]
    assert values(batches, metrics.MEMORY)[()] == pytest.approx(truth.memory_info().rss, rel=0.05)
    assert values(batches, metrics.VIRTUAL_MEMORY)[()] == pytest.approx(truth.memory_info().vms, rel=0.05)
    assert values(batches, metrics.CPU)["user",] == pytest.approx(truth.cpu_times().user, abs=0.5)
    assert values(batches, metrics.CPU)["system",] == pytest.approx(truth.cpu_times().system, abs=0.5)
    assert values(batches, metrics.START)[()] == pytest.approx(truth.create_time(), abs=1.1)
    assert values(batches, metrics.UPTIME)[()] == pytest.approx(time.time() - truth.create_time(), abs=1.5)
    share = descriptors / truth.rlimit(psutil.RLIMIT_NOFILE)[0]
    assert values(batches, metrics.DESCRIPTORS_USED)[()] == pytest.approx(share)
    assert list(values(batches, metrics.BUILD)) == [process.build()]


def test_what_the_system_does_not_say(runtime: RuntimeMetrics, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where there is neither /proc nor getrusage, what is unknown is absent."""
    monkeypatch.setattr(process, "_SELF", tmp_path)
    monkeypatch.setitem(sys.modules, "resource", None)
    process._started.cache_clear()
    told = {sample.metric for batch in runtime.collect() for sample in batch.samples}
    process._started.cache_clear()
    assert {metrics.CPU, metrics.BUILD, metrics.PAUSE} <= told
    assert told.isdisjoint({metrics.MEMORY, metrics.THREADS, metrics.DESCRIPTORS, metrics.START, metrics.UPTIME})


def test_descriptors_of_an_older_linux(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the directory has no size, its entries are counted, less the one that is open for counting."""
    (tmp_path / "fd").mkdir()
    for number in range(4):
        (tmp_path / "fd" / str(number)).touch()
    monkeypatch.setattr(process, "_SELF", tmp_path)
    monkeypatch.setattr(Path, "stat", lambda _: os.stat_result((0,) * 10))
    assert process._descriptors() == 3


def test_there_is_one_and_it_can_be_stopped() -> None:
    """To ask again gives the same; stopped, nothing of it is left."""
    first = runtime_metrics()
    assert runtime_metrics() is first
    assert first in registry.known()
    assert first._collector._called in gc.callbacks
    first.stop()
    assert first not in registry.known()
    assert first._collector._called not in gc.callbacks
    assert runtime_metrics() is not first
    runtime_metrics().stop()


async def test_the_middleware_begins_it() -> None:
    """An application that is started by its server has its loop watched, unless it says otherwise."""
    runtime_metrics().stop()
    await drive(RequestMetrics(answering(), name="off", runtime=False), {"type": "lifespan"})
    assert not any(isinstance(each, RuntimeMetrics) for each in registry.known())
    await drive(RequestMetrics(answering(), name="on"), {"type": "lifespan"})
    [runtime] = [each for each in registry.known() if isinstance(each, RuntimeMetrics)]
    assert [watch.loop for watch in runtime._loops] == [asyncio.get_running_loop()]
    runtime.stop()
    assert runtime._loops == []


FORK = """
import asyncio, os, sys
from observability.instrumentation import registry
from observability.instrumentation.runtime import metrics
from observability.instrumentation.runtime.monitor import runtime_metrics

async def main():
    runtime = runtime_metrics()
    await asyncio.sleep(0.25)
    child = os.fork()
    if child:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    told = {sample.metric: sample.value for batch in runtime.collect() for sample in batch.samples}
    os._exit(0 if metrics.LAG not in told and told[metrics.UPTIME] < 0.2 and runtime in registry.known() else 1)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the age of a process is known there")
def test_a_forked_child_starts_from_nothing() -> None:
    """A child has no lag of loops that do not run in it, and is as young as it is."""
    assert subprocess.run([sys.executable, "-c", FORK], check=False, timeout=30).returncode == 0
