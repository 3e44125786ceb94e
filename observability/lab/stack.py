"""The composition: which pieces a lab has, what each needs, and how all are put right again."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from observability.lab import applications, haproxy, monitoring
from observability.lab.applications import SERVERS
from observability.lab.launch import Piece
from observability.lab.monitoring import Job
from observability.lab.pairs import PostgresPair, RedisPair
from observability.lab.ports import HOST
from observability.lab.postgres import APP
from observability.lab.program import ALERTMANAGER, HAPROXY, PROMETHEUS, Program
from observability.lab.server_config import SCHEMA
from observability.lab.site import Site

PORTS = (
    "pg-1", "pg-2", "line", "redis-1", "redis-2", *SERVERS, "haproxy", "haproxy-metrics",
    "exporter", "controller", "alertmanager", "prometheus",
)  # fmt: skip
"""Everything that listens."""

STORES = ("pg-1", "pg-2", "redis-1", "redis-2")
"""The pieces that hold data: healed by their pairs, not simply started again."""

_OPTIONAL = {"haproxy": HAPROXY, "prometheus": PROMETHEUS, "alertmanager": ALERTMANAGER}


class Stack:
    """Every piece of the lab at a site; making one starts nothing."""

    def __init__(self, site: Site, *, postgres: str) -> None:
        self.site = site
        ports = site.ports
        self.postgres = PostgresPair.of(
            site.state, site.registry, version=postgres, ports=(ports["pg-1"], ports["pg-2"], ports["line"])
        )
        self.redis = RedisPair.of(site.state, site.registry, ports=(ports["redis-1"], ports["redis-2"]))
        self._programs = {name: program.find() for name, program in _OPTIONAL.items()}

    @property
    def missing(self) -> dict[str, Program]:
        """Pieces whose program is not installed here; the lab runs without them."""
        return {name: _OPTIONAL[name] for name, path in self._programs.items() if path is None}

    @property
    def urls(self) -> dict[str, str]:
        """Where a person looks at each piece that has a page."""
        pages = {"servers": "haproxy", "exporter": "exporter", "controller": "controller"}
        pages |= {"prometheus": "prometheus", "alertmanager": "alertmanager", "haproxy": "haproxy-metrics"}
        found = {
            page: f"http://{HOST}:{self.site.ports[port]}/" for page, port in pages.items() if page not in self.missing
        }
        if "haproxy" in self.missing:
            found |= {"servers": f"http://{HOST}:{self.site.ports[SERVERS[0]]}/"}
        return found | {"servers": f"{found['servers']}items"}

    def jobs(self) -> tuple[Job, ...]:
        """What Prometheus scrapes."""
        ports = self.site.ports
        jobs = [
            Job("prometheus", {"prometheus": ports["prometheus"]}),
            Job("ha-exporter", {"exporter": ports["exporter"]}),
            Job("ha-server", {name: ports[name] for name in SERVERS}, labelled=True),
            Job("ha-controller", {"controller": ports["controller"]}),
        ]
        if "alertmanager" not in self.missing:
            jobs.append(Job("alertmanager", {"alertmanager": ports["alertmanager"]}))
        if (program := self._programs["haproxy"]) and haproxy.has_exporter(program):
            jobs.append(Job("haproxy", {"haproxy": ports["haproxy-metrics"]}))
        return tuple(jobs)

    def pieces(self) -> tuple[Piece, ...]:
        """Everything to start."""
        site, postgres, redis, seconds = self.site, self.postgres, self.redis, self.site.timeout_seconds
        settings = applications.write_settings(site, postgres, redis)
        front = SERVERS if "haproxy" in self.missing else ("haproxy",)
        return (
            Piece("pg-1", self._start_primary),
            Piece("line", partial(applications.start_line, site)),
            Piece("pg-2", partial(postgres.start_standby, seconds), needs=("pg-1", "line")),
            Piece("redis-1", partial(redis.primary.start, seconds)),
            Piece("redis-2", partial(redis.start_replica, seconds), needs=("redis-1",)),
            *(
                Piece(name, partial(applications.start_server, site, name, postgres, redis), needs=("pg-1", "redis-1"))
                for name in SERVERS
            ),
            Piece("exporter", partial(applications.start_exporter, site, settings)),
            Piece("controller", partial(applications.start_controller, site, settings)),
            *self._optional_pieces(),
            Piece("load", partial(applications.start_load, site, [site.ports[name] for name in front]), needs=front),
        )

    def heal(self) -> None:
        """Undo every fault: thaw, restart, reconnect, give back."""
        for piece in self.pieces():
            process = self.site.registry.find(piece.name)
            if process is not None and process.alive:
                process.thaw()
            elif piece.name not in STORES:
                piece.start()
        applications.set_line(self.site, "resume")
        self.postgres.heal(self.site.timeout_seconds)
        self.redis.heal(self.site.timeout_seconds)
        applications.return_connections(self.site)

    def _start_primary(self) -> None:
        self.postgres.start_primary(self.site.timeout_seconds)
        self.postgres.primary.sql(SCHEMA, database=APP, role=APP)

    def _optional_pieces(self) -> Iterator[Piece]:
        site, found = self.site, self._programs
        if program := found["haproxy"]:
            yield Piece("haproxy", partial(haproxy.start, site, program, SERVERS), needs=SERVERS)
        if program := found["alertmanager"]:
            yield Piece("alertmanager", partial(monitoring.start_alertmanager, site, program))
        if program := found["prometheus"]:
            jobs, alerting = self.jobs(), found["alertmanager"] is not None
            yield Piece(
                "prometheus", partial(monitoring.start_prometheus, site, program, jobs, with_alertmanager=alerting)
            )
