"""
One measurement of one peer in a process of its own: `python benchmarks/pool_work.py PEER WORK PAIRS`.

A pair is one checkout with its checkin. With PAIRS of 0 the pairs are timed, and the nanoseconds of CPU for one are printed.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from pool_peers import PEERS, FakeConnection, quiet_collector
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, QueuePool
from sqlalchemy.util.concurrency import greenlet_spawn

THREADS, TASKS = 8, 50
TIMED_SECONDS = 0.4
Work = Callable[[Engine, int], None]


def make_engine(*, is_async: bool = False, size: int = 5) -> Engine:
    """An engine on connections that do nothing."""
    options: dict[str, Any] = {"creator": FakeConnection, "pool_size": size, "_initialize": False}
    if is_async:
        return create_async_engine("sqlite+aiosqlite://", poolclass=AsyncAdaptedQueuePool, **options).sync_engine
    return create_engine("sqlite://", poolclass=QueuePool, **options)


def sync(engine: Engine, pairs: int) -> None:
    """One thread."""
    for _ in range(pairs):
        engine.raw_connection().close()


def threads(engine: Engine, pairs: int) -> None:
    """Eight threads at a time, each with a connection to itself."""
    workers = [threading.Thread(target=sync, args=(engine, pairs // THREADS)) for _ in range(THREADS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def tasks(engine: Engine, pairs: int) -> None:
    """Fifty tasks at a time, each with a connection to itself."""

    def pair() -> None:
        engine.raw_connection().close()

    async def work() -> None:
        for _ in range(pairs // TASKS):
            await greenlet_spawn(pair)

    async def together() -> None:
        await asyncio.gather(*(work() for _ in range(TASKS)))

    asyncio.run(together())


WORKS: dict[str, Work] = {"sync": sync, "threads": threads, "asyncio": tasks}


def best_nanoseconds(work: Work, engine: Engine) -> float:
    """The CPU time of a pair in the best of many batches: what disturbs only makes it longer."""
    batch, best, until = 400, float("inf"), time.perf_counter() + TIMED_SECONDS
    while time.perf_counter() < until:
        began = time.process_time_ns()
        work(engine, batch)
        best = min(best, (time.process_time_ns() - began) / batch)
    return best


def main(peer: str, name: str, pairs: int) -> None:
    """Attach the peer and do the work."""
    engine = make_engine(is_async=name == "asyncio", size=TASKS)
    kept = PEERS[peer](engine)
    with quiet_collector():
        if pairs:
            WORKS[name](engine, pairs)
        else:
            WORKS[name](engine, 400)
            print(best_nanoseconds(WORKS[name], engine))
    del kept


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
