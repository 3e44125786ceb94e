"""
Several workers: what counting costs each event, and what one scrape of all of them costs, ours beside prometheus_client.

Both take turns in one run on the same machine; quote the ratios. Instructions are counted by callgrind and are exact.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CONNECTION_METHODS = ("close", "rollback", "cursor", "commit")
Fake = type("Fake", (), {name: lambda _: None for name in CONNECTION_METHODS})
VARIANTS = ("bare", "ours", "ours in cells", "prometheus_client", "prometheus_client multiprocess")


def attach(variant: str) -> Any:
    """An engine's pool, watched in one way."""
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import QueuePool

    engine = create_engine("sqlite://", creator=Fake, poolclass=QueuePool, _initialize=False)
    directory = tempfile.mkdtemp(dir=os.environ["BENCH"])
    if variant.startswith("ours"):
        from observability import instrument, join_workers

        if variant == "ours in cells":
            join_workers(directory)
        return engine, instrument(engine, "bench")
    if variant.startswith("prometheus"):
        if variant.endswith("multiprocess"):
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        from prometheus_client import Counter, Histogram

        # As much as ours counts for a pair, prebound: wait and use times, checkouts and checkins.
        out, back = Counter("checkouts", "Out.", ["pool"]).labels("b"), Counter("checkins", "In.", ["pool"]).labels("b")
        use, wait = Histogram("use", "Use.", ["pool"]).labels("b"), Histogram("wait", "Wait.", ["pool"]).labels("b")

        def checkout(_: Any, record: Any, __: Any) -> None:
            record.info["t"] = time.perf_counter()
            out.inc()
            wait.observe(0.0001)

        def checkin(_: Any, record: Any) -> None:
            back.inc()
            use.observe(time.perf_counter() - record.info["t"])

        event.listen(engine, "checkout", checkout)
        event.listen(engine, "checkin", checkin)
    return engine, None


def pairs(variant: str, count: int) -> float:
    """Take and return a connection so many times; the seconds that it took."""
    engine, kept = attach(variant)
    connect = engine.pool.connect
    connect().close()
    began = time.process_time()
    for _ in range(count):
        connect().close()
    del kept
    return time.process_time() - began


def instructions(variant: str, count: int) -> int:
    """Instructions that a whole process executes."""
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, __file__, "pairs", variant, str(count)],
        capture_output=True, text=True, check=True, env=os.environ | {"PYTHONHASHSEED": "0"}, timeout=300,
    )  # fmt: skip
    return int(next(line for line in done.stderr.splitlines() if "refs" in line).split()[-1].replace(",", ""))


def events() -> None:
    """Per pair of checkout and checkin."""
    rows = {}
    for variant in VARIANTS:
        ir = (instructions(variant, 300) - instructions(variant, 100)) // 200
        seconds = min(
            float(
                subprocess.run(
                    [sys.executable, __file__, "pairs", variant, "20000"], capture_output=True, text=True, check=True
                ).stdout
            )
            for _ in range(3)
        )
        rows[variant] = (ir, seconds / 20_000 * 1e6)
    bare = rows["bare"]
    for variant, (ir, micros) in rows.items():
        print(f"{variant:32} {ir:8} instructions  +{ir - bare[0]:7}   {micros:6.2f} µs  +{micros - bare[1]:6.2f}")


def child(kind: str, directory: str) -> None:
    """A worker with two pools that have been used."""
    if kind == "ours":
        from sqlalchemy import create_engine

        from observability import instrument, join_workers

        join_workers(directory)
        engines = [create_engine("sqlite://", creator=Fake, _initialize=False) for _ in range(2)]
        kept = [instrument(engine, f"pool-{number}") for number, engine in enumerate(engines)]
        for engine in engines:
            for _ in range(50):
                engine.pool.connect().close()
    else:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        from prometheus_client import Counter, Gauge, Histogram

        labels = [f"pool-{number}" for number in range(2)]
        counters = [Counter(f"counter_{n}", "C.", ["pool"]) for n in range(10)]
        gauges = [Gauge(f"gauge_{n}", "G.", ["pool"], multiprocess_mode="livesum") for n in range(8)]
        histograms = [Histogram(f"histogram_{n}", "H.", ["pool"]) for n in range(3)]
        for label in labels:
            for counter in counters:
                counter.labels(label).inc()
            for gauge in gauges:
                gauge.labels(label).set(1)
            for histogram in histograms:
                histogram.labels(label).observe(0.1)
        kept = []
    print("ready", flush=True)
    sys.stdin.readline()
    del kept


def scrape(living: int, generations: int) -> None:
    """One scrape of `living` workers, after `generations` others have ended."""
    root = Path(tempfile.mkdtemp(dir=os.environ["BENCH"]))
    for kind in ("ours", "prometheus_client"):
        directory = root / kind
        directory.mkdir(mode=0o700)
        running: list[subprocess.Popen[str]] = []
        for number in range(living + generations):
            process = subprocess.Popen(
                [sys.executable, __file__, "child", kind, str(directory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            running.append(process)
            if number < generations:
                running.pop().communicate("\n")
        wall, cpu, series = measured(kind, directory)
        files = [path for path in directory.rglob("*") if path.is_file()]
        size = sum(path.stat().st_blocks * 512 for path in files) / 1024
        print(
            f"{living:3} living {generations:3} ended  {kind:18} {cpu:7.2f} ms CPU  {wall:7.2f} ms  {series:5} series  {len(files):4} files {size:7.0f} KiB"
        )
        for process in running:
            process.communicate("\n")
    shutil.rmtree(root)


def measured(kind: str, directory: Path) -> tuple[float, float, int]:
    """Milliseconds of waiting and of CPU in the process that is scraped, and how many series it tells."""
    if kind == "ours":
        from observability.export.prometheus import render
        from observability.instrumentation.workers.directory import Directory
        from observability.instrumentation.workers.group import Group

        group = Group(Directory(directory / "workers"))

        def page() -> bytes:
            return render(group.collect())
    else:
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(directory))  # type: ignore[no-untyped-call]

        def page() -> bytes:
            return generate_latest(registry)

    page()
    walls, cpus = [], []
    for _ in range(20):
        wall, cpu = time.perf_counter(), time.process_time()
        text = page()
        walls.append((time.perf_counter() - wall) * 1e3)
        cpus.append((time.process_time() - cpu) * 1e3)
    return (
        statistics.median(walls),
        statistics.median(cpus),
        sum(1 for row in text.splitlines() if not row.startswith(b"#")),
    )


def main() -> None:
    if sys.argv[1:2] == ["pairs"]:
        print(pairs(sys.argv[2], int(sys.argv[3])))
    elif sys.argv[1:2] == ["child"]:
        child(*sys.argv[2:4])
    else:
        os.environ["BENCH"] = tempfile.mkdtemp()
        events()
        for living, generations in ((4, 0), (8, 0), (4, 24)):
            scrape(living, generations)
        shutil.rmtree(os.environ["BENCH"])


if __name__ == "__main__":
    main()
