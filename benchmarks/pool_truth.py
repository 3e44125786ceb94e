"""
What each watcher of a pool shows, beside the truth: in an exhaustion, idle, after a detach and after an outage.

Run with `python benchmarks/pool_truth.py`. Each watcher has an engine to itself and sees the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pool_peers import letta, opentelemetry, ours
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from observability.instrumentation.pool import metrics

SIZE, OVERFLOW, USERS = 5, 3, 20
FIT = SIZE + OVERFLOW
OPTIONS: dict[str, Any] = {"pool_size": SIZE, "max_overflow": OVERFLOW, "pool_timeout": 0.5}
OUTAGE_REQUESTS = 10


class Shown(NamedTuple):
    """What a watcher shows; a dash is what it does not know."""

    used: object = "-"
    idle: object = "-"
    waiting: object = "-"
    timeouts: object = "-"


def shown_by_ours(kept: Any) -> Shown:
    """From the samples."""
    (batch,) = kept.collect()
    found = {(each.metric, each.labels[1:]): each.value for each in batch.samples}
    return Shown(
        found[metrics.COUNT, ("used",)],
        found[metrics.COUNT, ("idle",)],
        found[metrics.PENDING, ()],
        found[metrics.TIMEOUTS, ()],
    )


def points(reader: Any) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Name, attributes and value of each point that an OpenTelemetry reader has."""
    data = reader.get_metrics_data()
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    yield metric.name, dict(point.attributes), getattr(point, "value", None)


def shown_by_opentelemetry(reader: Any) -> Shown:
    """From its one metric."""
    found = {attributes["state"]: value for name, attributes, value in points(reader) if name.endswith("usage")}
    return Shown(found.get("used", "-"), found.get("idle", "-"))


def shown_by_letta(reader: Any) -> Shown:
    """From its gauges, which keep what the last event has set."""
    found = {name: value for name, _, value in points(reader)}
    return Shown(found.get("in_use", "-"), found.get("available", "-"), found.get("waiters", "-"))


WATCHERS: dict[str, tuple[Callable[[Engine], Any], Callable[[Any], Shown]]] = {
    "ours": (ours, shown_by_ours),
    "OpenTelemetry": (opentelemetry, shown_by_opentelemetry),
    "Letta's shape": (letta, shown_by_letta),
}


def exhaust_threads(engine: Engine, show: Callable[[], Shown]) -> tuple[Shown, Shown]:
    """Twenty threads; what is shown while twelve wait, and when all is over."""
    enough, held, left = threading.Event(), threading.Semaphore(0), threading.Semaphore(0)

    def use() -> None:
        try:
            with engine.connect():
                held.release()
                enough.wait(10)
        except Exception:  # noqa: BLE001 -- that it timed out is the point
            left.release()

    users = [threading.Thread(target=use) for _ in range(USERS)]
    for user in users:
        user.start()
    queue: Any = engine.pool._pool  # type: ignore[attr-defined]  # noqa: SLF001
    for _ in range(FIT):
        held.acquire()
    while len(queue.not_empty._waiters) < USERS - FIT:  # noqa: SLF001
        time.sleep(0.005)
    during = show()
    for _ in range(USERS - FIT):
        left.acquire()
    enough.set()
    for user in users:
        user.join()
    return during, show()


async def exhaust_tasks(engine: AsyncEngine, show: Callable[[], Shown]) -> tuple[Shown, Shown]:
    """Twenty tasks; what is shown while twelve wait, and when all is over."""
    enough = asyncio.Event()
    held = left = 0

    async def use() -> None:
        nonlocal held, left
        try:
            async with engine.connect():
                held += 1
                await enough.wait()
        except Exception:  # noqa: BLE001 -- that it timed out is the point
            left += 1
            if left == USERS - FIT:
                enough.set()

    users = [asyncio.create_task(use()) for _ in range(USERS)]
    queue: Any = engine.sync_engine.pool._pool  # type: ignore[attr-defined]  # noqa: SLF001
    while held < FIT or len(queue._queue._getters) < USERS - FIT:  # noqa: ASYNC110, SLF001 -- nobody tells
        await asyncio.sleep(0.005)
    during = show()
    await asyncio.gather(*users)
    after = show()
    await engine.dispose()
    return during, after


def detach(engine: Engine, show: Callable[[], Shown]) -> Shown:
    """One connection is detached and closed."""
    connection = engine.connect()
    connection.detach()
    connection.close()
    return show()


def outage(engine: Engine, show: Callable[[], Shown]) -> Shown:
    """A pooled connection breaks, ten requests find no database, then it is back and one is served."""
    connection = engine.connect()
    connection.invalidate()
    connection.close()
    dialect: Any = engine.dialect
    connect = dialect.connect

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionRefusedError

    dialect.connect = refuse
    for _ in range(OUTAGE_REQUESTS):
        with contextlib.suppress(ConnectionRefusedError):
            engine.connect()
    dialect.connect = connect
    engine.connect().close()
    return show()


def run(attach: Callable[[Engine], Any], read: Callable[[Any], Shown], directory: Path) -> dict[str, Shown]:
    """Every case for one watcher, each on an engine of its own."""
    found: dict[str, Shown] = {}

    def fresh(name: str) -> tuple[Engine, Callable[[], Shown]]:
        engine = create_engine(f"sqlite:///{directory}/{name}.db", **OPTIONS)
        kept = attach(engine)
        return engine, lambda: read(kept)

    engine, show = fresh("idle")
    engine.connect().close()
    found["idle, one connection open"] = show()
    engine.dispose()
    engine, show = fresh("threads")
    found["threads, exhausted"], found["threads, afterwards"] = exhaust_threads(engine, show)
    engine.dispose()
    tasks = create_async_engine(f"sqlite+aiosqlite:///{directory}/tasks.db", **OPTIONS)
    kept = attach(tasks.sync_engine)
    found["tasks, exhausted"], found["tasks, afterwards"] = asyncio.run(exhaust_tasks(tasks, lambda: read(kept)))
    for name, case in (("after a detach", detach), ("after an outage", outage)):
        engine, show = fresh(name.replace(" ", "-"))
        found[name] = case(engine, show)
        engine.dispose()
    return found


TRUTH = {
    "idle, one connection open": Shown(0, 1, 0, 0),
    "threads, exhausted": Shown(FIT, 0, USERS - FIT, 0),
    "threads, afterwards": Shown(0, SIZE, 0, USERS - FIT),
    "tasks, exhausted": Shown(FIT, 0, USERS - FIT, 0),
    "tasks, afterwards": Shown(0, SIZE, 0, USERS - FIT),
    "after a detach": Shown(0, 0, 0, 0),
    "after an outage": Shown(0, 1, 0, 0),
}


def main() -> None:
    """Show all beside the truth; the exit code says whether ours is the truth."""
    with tempfile.TemporaryDirectory() as directory:
        shown = {name: run(attach, read, Path(directory)) for name, (attach, read) in WATCHERS.items()}
    table = Table(title=f"used / idle / waiting / timeouts: pool of {SIZE} + {OVERFLOW}, {USERS} users")
    table.add_column("")
    for name in ("truth", *shown):
        table.add_column(name)
    for case, truth in TRUTH.items():
        table.add_row(
            case, *(" / ".join(map(str, each)) for each in (truth, *(found[case] for found in shown.values())))
        )
    Console().print(table)
    if shown["ours"] != TRUTH:
        sys.exit("ours is not the truth")


if __name__ == "__main__":
    main()
