"""
What watching a connection pool costs: ours, its peers, and the least that listening can cost, in one run.

Instructions are counted by callgrind: they are the same on any machine and in any weather, so compare those. Times are of
CPU, the best of many. Run with `make bench`; `--quick` counts only one thread's work.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pool_peers import PEERS, quiet_collector
from pool_work import WORKS, make_engine
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from observability import instrument
from observability.export.prometheus import render
from observability.instrumentation import registry

WORK = Path(__file__).with_name("pool_work.py")
FEW, MANY = 200, 600
"""Pairs of two runs; the difference is free of what starting costs. Both are multiples of the threads and the tasks."""
ROUNDS = 5
ENGINES, CONNECTIONS = 100, 1000
BARE, FLOOR, OURS, PROMETHEUS, OPENTELEMETRY = (
    "bare pool", "floor: two empty listeners", "ours", "prometheus_client, prebound", "OpenTelemetry",
)  # fmt: skip

Figures = dict[str, dict[str, float]]
"""By work, by peer."""


class Target(NamedTuple):
    """What was promised, and what is."""

    promise: str
    value: str
    met: bool


def work(peer: str, name: str, pairs: int, *wrapper: str) -> subprocess.CompletedProcess[str]:
    """Run one measurement in a process of its own."""
    return subprocess.run(
        [*wrapper, sys.executable, str(WORK), peer, name, str(pairs)],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": "0"},
    )  # fmt: skip


def instructions(peer: str, name: str) -> float:
    """The instructions of one pair."""
    counts = []
    with tempfile.TemporaryDirectory() as directory:
        for pairs in (FEW, MANY):
            valgrind = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={directory}/out")
            told = work(peer, name, pairs, *valgrind).stderr
            found = re.search(r"Collected : (\d+)", told)
            if not found:
                sys.exit(f"callgrind did not count {peer}:\n{told}")
            counts.append(int(found[1]))
    return (counts[1] - counts[0]) / (MANY - FEW)


def nanoseconds(names: Sequence[str], progress: Progress) -> Figures:
    """The best CPU time of one pair; the peers take turns, so that a noisy machine hits all of them alike."""
    best: Figures = {name: dict.fromkeys(PEERS, float("inf")) for name in WORKS}
    bar = progress.add_task("time", total=ROUNDS * len(names) * len(PEERS))
    for _ in range(ROUNDS):
        for name in names:
            for peer in PEERS:
                best[name][peer] = min(best[name][peer], float(work(peer, name, 0).stdout))
                progress.advance(bar)
    return best


def count(names: Sequence[str], progress: Progress) -> Figures:
    """The instructions of one pair, by work and peer."""
    bar = progress.add_task("instructions", total=len(names) * len(PEERS))
    found: Figures = {name: {} for name in names}
    for name in names:
        for peer in PEERS:
            found[name][peer] = instructions(peer, name)
            progress.advance(bar)
    return found


def collection() -> tuple[float, float, int]:
    """Milliseconds of CPU to collect 100 engines with 1,000 connections, and to write them for Prometheus; the series."""
    engines = [make_engine(size=20) for _ in range(ENGINES)]
    monitors = [instrument(engine, pool_name="many") for engine in engines]
    held = [engine.raw_connection() for engine in engines for _ in range(CONNECTIONS // ENGINES)]
    collected, rendered = float("inf"), float("inf")
    page = b""
    with quiet_collector():
        for _ in range(20):
            began = time.thread_time()
            batches = [batch for source in registry.sources() for batch in source()]
            middle = time.thread_time()
            page = render(batches)
            collected = min(collected, middle - began)
            rendered = min(rendered, time.thread_time() - middle)
    for connection in held:
        connection.close()
    for monitor in monitors:
        monitor.uninstrument()
    series = sum(1 for line in page.splitlines() if not line.startswith(b"#"))
    return collected * 1000, rendered * 1000, series


def memory() -> tuple[float, float]:
    """Bytes that one engine costs more when it is instrumented, and one connection."""
    warm = make_engine()
    instrument(warm).uninstrument()
    plain = [_allocated(instrumented=False) for _ in range(2)][-1]
    ours = [_allocated(instrumented=True) for _ in range(2)][-1]
    return (ours[0] - plain[0]) / ENGINES, (ours[1] - plain[1]) / CONNECTIONS


def _allocated(*, instrumented: bool) -> tuple[int, int]:
    """Bytes of engines, and of connections that are then taken."""
    tracemalloc.start()
    with quiet_collector():
        engines = [make_engine(size=20) for _ in range(ENGINES)]
        for engine in engines:
            engine.raw_connection().close()
            engine.dispose()
        before = tracemalloc.get_traced_memory()[0]
        monitors = [instrument(engine, pool_name="many") for engine in engines if instrumented]
        of_engines = tracemalloc.get_traced_memory()[0]
        held = [engine.raw_connection() for engine in engines for _ in range(CONNECTIONS // ENGINES)]
        of_connections = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    for connection in held:
        connection.close()
    for monitor in monitors:
        monitor.uninstrument()
    return of_engines - before, of_connections - of_engines


def table(title: str, unit: str, figures: Figures) -> Table:
    """One row for each peer, and what it adds to the bare pool."""
    shown = Table(
        title=title, caption=f"{unit} for one checkout with its checkin; in brackets what is added to the bare pool"
    )
    shown.add_column("")
    for name in figures:
        shown.add_column(name, justify="right")
    for peer in PEERS:
        cells = []
        for each in figures.values():
            added = each[peer] - each[BARE]
            cells.append(f"{each[peer]:,.0f}" + ("" if peer == BARE else f" ({added:+,.0f})"))
        shown.add_row(peer, *cells)
    return shown


def targets(counted: Figures, collected_ms: float) -> list[Target]:
    """What was promised, against what was counted."""
    found = []
    for name, each in counted.items():
        added = {peer: value - each[BARE] for peer, value in each.items()}
        mine = added[OURS]
        found += [
            Target(f"{name}: at or below the floor", f"{mine / added[FLOOR]:.2f} of it", mine <= added[FLOOR]),
            Target(
                f"{name}: a 24th of OpenTelemetry",
                f"1/{added[OPENTELEMETRY] / mine:.0f}",
                added[OPENTELEMETRY] >= 24 * mine,
            ),
            Target(
                f"{name}: a third of prometheus_client",
                f"1/{added[PROMETHEUS] / mine:.1f}",
                added[PROMETHEUS] >= 3 * mine,
            ),
        ]
    found.append(Target("collection below 10 ms", f"{collected_ms:.1f} ms", collected_ms < 10))
    return found


def main() -> None:
    """Measure, and show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="count only the work of one thread")
    quick = parser.parse_args().quick
    if not shutil.which("valgrind"):
        sys.exit("valgrind is needed to count instructions: apt install valgrind")
    console = Console()
    names = ("sync",) if quick else tuple(WORKS)
    with Progress(console=console, transient=True) as progress:
        counted = count(names, progress)
        timed = nanoseconds(tuple(WORKS), progress)
    collected_ms, rendered_ms, series = collection()
    per_engine, per_connection = memory()
    console.print(table("Instructions", "Instructions", counted))
    console.print(table("CPU time", "Nanoseconds", timed))
    console.print(
        f"{ENGINES} engines with {CONNECTIONS} connections: collected in {collected_ms:.1f} ms,"
        f" written for Prometheus in {rendered_ms:.1f} ms more ({series:,} series)"
    )
    console.print(f"Memory: {per_engine:,.0f} bytes for each engine, {per_connection:,.0f} for each connection")
    for target in targets(counted, collected_ms):
        console.print(f"{'[green]met ' if target.met else '[red]not met'}[/] {target.promise}: {target.value}")


if __name__ == "__main__":
    main()
