"""Our own programs in the lab: the demo servers and their load, the exporter and the failover controller."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from observability.lab.load import LoadConfig
from observability.lab.pairs import PostgresPair, RedisPair
from observability.lab.ports import HOST
from observability.lab.postgres import APP
from observability.lab.proxy import tell
from observability.lab.ready import http_client, listens, serves
from observability.lab.server_config import MAX_OVERFLOW, POOL_SIZE, ServerConfig
from observability.lab.site import CLUSTER, Site

SERVERS = ("server-1", "server-2")
REQUESTS_PER_SECOND = 20
_LEAK_SECONDS = 600
_ZONES = ("a", "b")


def start_line(site: Site) -> None:
    """Start the line over which the standby reaches its primary, so that it can be cut."""
    listen, upstream = site.ports["line"], site.ports["pg-1"]
    arguments = (str(listen), str(upstream), line_control(site))
    site.start_module("line", "observability.lab.proxy", *arguments, check=listens(listen))


def set_line(site: Site, mode: str) -> None:
    """Set the mode of the replication line: `resume`, `stall`, `cut` or `slow SECONDS`."""
    tell(line_control(site), mode)


def line_control(site: Site) -> Path:
    """The socket that takes the line's mode."""
    return site.state.path / "line.sock"


def start_server(site: Site, name: str, postgres: PostgresPair, redis: RedisPair) -> None:
    """Start one of the demo servers; it is ready when it reaches both its stores."""
    config = ServerConfig(
        name=name,
        port=site.ports[name],
        database=postgres.primary.url(APP, APP).replace("postgresql:", "postgresql+asyncpg:"),
        database_password_file=str(postgres.primary.password_file(APP)),
        redis=redis.primary.url(),
        redis_password_file=str(redis.primary.password_file),
    )
    path = site.file(f"{name}.json", json.dumps(asdict(config)))
    site.start_module(name, "observability.lab.server", path, check=serves(config.port, "/healthz"))


def take_connections(site: Site) -> None:
    """Let every server leak as many connections as its pool can give."""
    for name in SERVERS:
        with http_client(site.ports[name]) as client:
            client.post("/leak", params={"seconds": _LEAK_SECONDS, "connections": POOL_SIZE + MAX_OVERFLOW})


def return_connections(site: Site) -> None:
    """Let every server give back what it leaked."""
    for name in SERVERS:
        with http_client(site.ports[name]) as client:
            client.delete("/leak")


def start_load(site: Site, ports: Sequence[int]) -> None:
    """Start the steady load, in turn on each port."""
    urls = [f"http://{HOST}:{port}" for port in ports]
    config = LoadConfig(urls=urls, rate=REQUESTS_PER_SECOND, report=str(load_report(site)))
    path = site.file("load.config.json", json.dumps(asdict(config)))
    site.start_module("load", "observability.lab.load", path, check=load_report(site).exists)


def load_report(site: Site) -> Path:
    """The file with the account of the load."""
    return site.state.path / "load.json"


def write_settings(site: Site, postgres: PostgresPair, redis: RedisPair) -> Path:
    """The one configuration of exporter and controller."""
    settings: dict[str, Any] = {
        "listen": f"{HOST}:{site.ports['exporter']}",
        "cluster": CLUSTER,
        "targets": _targets(site, postgres, redis),
        "failover": {
            "listen": f"{HOST}:{site.ports['controller']}",
            "mode": "observe",
            "state_url": journal_url(site),
            "token_file": str(token_file(site)),
        },
    }
    return site.file("ha-observability.yml", yaml.safe_dump(settings, sort_keys=False))


def token_file(site: Site) -> Path:
    """The file with the token with which Alertmanager and people come to the controller."""
    return site.state.secret("controller")


def journal_url(site: Site) -> str:
    """Where the controller keeps its journal."""
    return f"sqlite+aiosqlite:///{site.state.path / 'journal.db'}"


def start_exporter(site: Site, settings: Path) -> None:
    """Start the exporter."""
    site.start_module(
        "exporter", "observability", "exporter", "--config", settings, check=serves(site.ports["exporter"], "/-/ready")
    )


def start_controller(site: Site, settings: Path) -> None:
    """Start the failover controller."""
    arguments = ("observability", "failover", "serve", "--config", settings)
    site.start_module("controller", *arguments, check=serves(site.ports["controller"], "/-/ready"))


def _targets(site: Site, postgres: PostgresPair, redis: RedisPair) -> list[dict[str, str]]:
    stores = [
        *((server.name, server.url(), server.password_file()) for server in (postgres.primary, postgres.standby)),
        *((server.name, server.url(), server.password_file) for server in (redis.primary, redis.replica)),
    ]
    targets = [{"name": name, "url": url, "password_file": str(file)} for name, url, file in stores]
    targets += [{"name": name, "url": f"http://{HOST}:{site.ports[name]}/healthz"} for name in SERVERS]
    return [target | {"zone": _ZONES[number % 2]} for number, target in enumerate(targets)]
