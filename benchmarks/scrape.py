"""
One scrape of one PostgreSQL and one Redis, ours beside Debian's exporters on the same servers in one run.

The exporters take turns, so that a noisy machine hits all of them alike; quote the ratios. Run with `make bench`.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from rich.console import Console
from rich.progress import track
from rich.table import Table

from observability.lab.directory import StateDirectory, temporary_directory
from observability.lab.pairs import PostgresPair, RedisPair
from observability.lab.ports import free_port
from observability.lab.postgres import Postgres
from observability.lab.process import Process
from observability.lab.redis import Redis
from observability.lab.registry import Registry

HEADERS = {"Accept-Encoding": "gzip", "X-Prometheus-Scrape-Timeout-Seconds": "10"}
PEERS = {"postgres": "prometheus-postgres-exporter", "redis": "prometheus-redis-exporter"}


@dataclass
class Exporter:
    """A running exporter and what its scrapes cost."""

    name: str
    system: str
    process: Process
    port: int
    milliseconds: list[float] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)

    def scrape(self) -> bytes:
        """One scrape over the kept line, compressed, as Prometheus does it."""
        started = time.perf_counter()
        self._line.request("GET", "/metrics", headers=HEADERS)
        response = self._line.getresponse()
        body = response.read()
        self.milliseconds.append((time.perf_counter() - started) * 1000)
        if response.status != 200:
            sys.exit(f"{self.name} answered {response.status}: {body[:200]!r}")
        return body

    def series(self) -> int:
        """How many series a scrape gives."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        line.request("GET", "/metrics")
        text = line.getresponse().read()
        line.close()
        return sum(1 for row in text.splitlines() if row and not row.startswith(b"#"))

    def cpu_seconds(self) -> float:
        """CPU that it has used so far."""
        return family_cpu(self.process.pid)

    def close(self) -> None:
        """Close the kept line."""
        self._line.close()


def family_cpu(pid: int) -> float:
    """CPU seconds of a process with all its children, those that have ended included."""
    total = 0.0
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def held_connections(exporter: Exporter) -> int:
    """Connections that the exporter keeps to servers between scrapes; its scrapers come to its own port."""
    connections = psutil.Process(exporter.process.pid).net_connections("tcp")
    return sum(1 for each in connections if each.status == "ESTABLISHED" and each.laddr.port != exporter.port)


@contextlib.contextmanager
def servers() -> Iterator[tuple[Registry, PostgresPair, RedisPair]]:
    """The two servers, on loopback, gone afterwards."""
    state = StateDirectory(temporary_directory())
    state.claim()
    registry = Registry(state.path)
    try:
        postgres = PostgresPair.of(state, registry)
        postgres.start()
        redis = RedisPair.of(state, registry)
        redis.start()
        yield registry, postgres, redis
    finally:
        registry.stop_all()
        state.release()
        state.remove()


def start_exporters(registry: Registry, postgres: PostgresPair, redis: RedisPair) -> list[Exporter]:
    """Ours once for each system and once for both, and the two peers."""
    targets = {
        "postgres": f"{{name: pg-1, url: '{postgres.primary.url()}', password_file: {postgres.primary.password_file()}}}",
        "redis": f"{{name: redis-1, url: '{redis.primary.url()}', password_file: {redis.primary.password_file}}}",
    }
    ours = [ours_for(registry, system, [target]) for system, target in targets.items()]
    ours.append(ours_for(registry, "both", list(targets.values())))
    return [*ours, *peers(registry, postgres, redis)]


def ours_for(registry: Registry, system: str, targets: list[str]) -> Exporter:
    port = free_port()
    config = registry.directory / f"{system}.yml"
    lines = "".join(f"  - {target}\n" for target in targets)
    config.write_text(f"listen: 127.0.0.1:{port}\ncluster: bench\ntargets:\n{lines}")
    argv: list[str | Path] = [sys.executable, "-m", "observability", "exporter", "--config", config]
    return Exporter("ours", system, registry.start(f"ours-{system}", argv), port)


def peers(registry: Registry, postgres: PostgresPair, redis: RedisPair) -> Iterator[Exporter]:
    """The peers take their secrets from the environment and a file, so they start through a small shell script."""
    port = free_port()
    script = registry.directory / "postgres-exporter.sh"
    script.write_text(
        f"export DATA_SOURCE_URI='127.0.0.1:{postgres.primary.port}/postgres?sslmode=disable'\n"
        f"export DATA_SOURCE_USER=ha_monitor DATA_SOURCE_PASS_FILE={postgres.primary.password_file()}\n"
        f"exec {PEERS['postgres']} --web.listen-address=127.0.0.1:{port} --log.level=error\n"
    )
    yield Exporter(PEERS["postgres"], "postgres", registry.start("peer-postgres", ["sh", script]), port)
    port = free_port()
    script = registry.directory / "redis-exporter.sh"
    script.write_text(
        f"export REDIS_ADDR=redis://127.0.0.1:{redis.primary.port} REDIS_PASSWORD=$(cat {redis.primary.password_file})\n"
        f"exec {PEERS['redis']} -web.listen-address 127.0.0.1:{port}\n"
    )
    yield Exporter(PEERS["redis"], "redis", registry.start("peer-redis", ["sh", script]), port)


def wait_until_up(exporters: list[Exporter]) -> None:
    deadline = time.monotonic() + 30
    for exporter in exporters:
        while True:
            try:
                exporter.scrape()
                break
            except OSError:
                exporter.close()
                if time.monotonic() > deadline:
                    sys.exit(f"{exporter.name} does not answer:\n{exporter.process.log_tail()}")
                time.sleep(0.1)
        exporter.milliseconds.clear()


def measure(exporters: list[Exporter], scrapes: int) -> None:
    """Latency and CPU, the exporters taking turns."""
    before = {id(exporter): exporter.cpu_seconds() for exporter in exporters}
    for _ in track(range(scrapes), description="Scraping in turn"):
        for exporter in exporters:
            exporter.scrape()
    for exporter in exporters:
        exporter.figures["cpu_ms"] = (exporter.cpu_seconds() - before[id(exporter)]) * 1000 / scrapes
        exporter.figures["p50_ms"] = statistics.median(exporter.milliseconds)
        exporter.figures["p99_ms"] = statistics.quantiles(exporter.milliseconds, n=100)[98]
        exporter.figures["rss_mb"] = psutil.Process(exporter.process.pid).memory_info().rss / 1e6
        exporter.figures["series"] = exporter.series()
        exporter.figures["connections"] = held_connections(exporter)


def measure_servers(exporter: Exporter, postgres: PostgresPair, redis: RedisPair, scrapes: int) -> None:
    """What a scrape costs the servers, one exporter at a time."""
    if exporter.system in {"postgres", "both"}:
        add(exporter, scrapes, postgres_cost(exporter, postgres.primary, scrapes))
    if exporter.system in {"redis", "both"}:
        add(exporter, scrapes, redis_cost(exporter, redis.primary, scrapes))


def add(exporter: Exporter, scrapes: int, cost: dict[str, float]) -> None:
    for figure, value in cost.items():
        exporter.figures[figure] = exporter.figures.get(figure, 0) + max(0.0, value) / scrapes


def postgres_cost(exporter: Exporter, primary: Postgres, scrapes: int) -> dict[str, float]:
    """
    CPU of the postmaster's family, then statements and logins as the server's own log tells them.

    pg_stat_database would not do: a session that only reads system views does not hand its transaction counts in.
    """
    before = family_cpu(primary.process.pid)
    for _ in range(scrapes):
        exporter.scrape()
    spent = family_cpu(primary.process.pid) - before
    log = Path(primary.process.log)
    with statements_logged(primary):
        begin = log.stat().st_size
        for _ in range(scrapes):
            exporter.scrape()
        with log.open("rb") as file:
            file.seek(begin)
            said = file.read()
    statements = said.count(b"LOG:  statement:") + said.count(b"LOG:  execute ")
    return {"server_cpu_ms": spent * 1000, "statements": statements, "logins": said.count(b"connection authorized:")}


@contextlib.contextmanager
def statements_logged(primary: Postgres) -> Iterator[None]:
    """Have the server log every statement and login for a while."""
    for change in ("SET log_statement = 'all'", "SET log_connections = on"):
        primary.sql(f"ALTER SYSTEM {change}")
    primary.sql("SELECT pg_reload_conf()")
    time.sleep(0.5)
    yield
    for change in ("RESET log_statement", "RESET log_connections"):
        primary.sql(f"ALTER SYSTEM {change}")
    primary.sql("SELECT pg_reload_conf()")
    time.sleep(0.5)


def redis_cost(exporter: Exporter, primary: Redis, scrapes: int) -> dict[str, float]:
    """Commands, logins and main-thread CPU as INFO tells them, less the asking itself."""
    before = redis_counts(primary)
    for _ in range(scrapes):
        exporter.scrape()
    after = redis_counts(primary)
    asking = redis_counts(primary)
    return {figure: 2 * after[figure] - before[figure] - asking[figure] for figure in after}


def redis_counts(primary: Redis) -> dict[str, float]:
    with primary.client() as client:
        info = client.info()
    return {
        "statements": float(info["total_commands_processed"]),
        "logins": float(info["total_connections_received"]),
        "server_cpu_ms": (float(info["used_cpu_user_main_thread"]) + float(info["used_cpu_sys_main_thread"])) * 1000,
    }


FIGURES = {
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "cpu_ms": "exporter CPU ms",
    "server_cpu_ms": "server CPU ms",
    "statements": "statements",
    "logins": "logins",
    "connections": "connections held",
    "series": "series",
    "rss_mb": "RSS MB",
}


def report(exporters: list[Exporter]) -> None:
    by_system = {(exporter.name == "ours", exporter.system): exporter.figures for exporter in exporters}
    both = {
        figure: by_system[False, "postgres"][figure] + by_system[False, "redis"][figure] for figure in FIGURES
    }  # the two peers are scraped side by side, so the slower one gives the latency
    for figure in ("p50_ms", "p99_ms"):
        both[figure] = max(by_system[False, "postgres"][figure], by_system[False, "redis"][figure])
    rows = [
        ("PostgreSQL", by_system[True, "postgres"], by_system[False, "postgres"]),
        ("Redis", by_system[True, "redis"], by_system[False, "redis"]),
        ("both, one process against two", by_system[True, "both"], both),
    ]
    table = Table("per scrape", "", *FIGURES.values(), title="Ours against Debian's exporters, same servers, one run")
    for name, ours, peer in rows:
        table.add_row(name, "ours", *(f"{ours[figure]:.2f}" for figure in FIGURES))
        table.add_row("", "peer", *(f"{peer[figure]:.2f}" for figure in FIGURES))
        ratios = (f"{ours[figure] / peer[figure]:.2f}" if peer[figure] > 0.01 else "-" for figure in FIGURES)
        table.add_row("", "ours / peer", *ratios, style="bold", end_section=True)
    Console(width=140).print(table)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    Console().print(f"{len(exporters[0].milliseconds)} scrapes each, load average {load}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scrapes", type=int, default=200, help="scrapes of each exporter (default 200)")
    scrapes = parser.parse_args().scrapes
    for program in PEERS.values():
        if not any((Path(folder) / program).exists() for folder in os.get_exec_path()):
            sys.exit(f"{program} is missing: sudo apt-get install -y {program}")
    with servers() as (registry, postgres, redis):
        exporters = start_exporters(registry, postgres, redis)
        wait_until_up(exporters)
        for exporter in exporters:
            for _ in range(20):
                exporter.scrape()
            exporter.milliseconds.clear()
        measure(exporters, scrapes)
        latencies = {id(exporter): list(exporter.milliseconds) for exporter in exporters}
        for exporter in exporters:
            measure_servers(exporter, postgres, redis, scrapes // 4)
            exporter.milliseconds = latencies[id(exporter)]
        report(exporters)
        for exporter in exporters:
            exporter.close()


if __name__ == "__main__":
    main()
