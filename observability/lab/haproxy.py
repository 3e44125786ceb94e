"""HAProxy in the lab: before the two servers, with its own metrics on a port of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from observability.lab.command import run
from observability.lab.ports import HOST
from observability.lab.ready import serves
from observability.lab.site import Site

_SETTINGS = """\
global
    stats socket {directory}/haproxy.sock mode 600 level admin
    maxconn 1000

defaults
    mode http
    option redispatch
    retries 1
    timeout connect 1s
    timeout client 30s
    timeout server 30s
    timeout check 1s

frontend web
    bind {host}:{port}
    default_backend servers

backend servers
    balance roundrobin
    option httpchk GET /readyz
    http-check expect status 200
    default-server check inter 500ms fall 2 rise 1
{servers}
"""
_METRICS = """
frontend metrics
    bind {host}:{port}
    http-request use-service prometheus-exporter if {{ path /metrics }}
    stats enable
    stats uri /
"""


def settings(directory: Path, *, port: int, servers: Mapping[str, int], metrics_port: int | None) -> str:
    """The configuration: servers by name and port; without a port for metrics there are none."""
    lines = "\n".join(f"    server {name} {HOST}:{server}" for name, server in servers.items())
    text = _SETTINGS.format(directory=directory, host=HOST, port=port, servers=lines)
    return text if metrics_port is None else text + _METRICS.format(host=HOST, port=metrics_port)


def start(site: Site, program: Path, servers: Sequence[str]) -> None:
    """Start it; it is ready when requests reach a server through it."""
    port, metrics = site.ports["haproxy"], site.ports["haproxy-metrics"]
    text = settings(
        site.state.path,
        port=port,
        servers={name: site.ports[name] for name in servers},
        metrics_port=metrics if has_exporter(program) else None,
    )
    site.start("haproxy", [program, "-db", "-f", site.file("haproxy.cfg", text)], serves(port, "/ping"))


def has_exporter(program: Path) -> bool:
    """Whether this HAProxy was built with its Prometheus exporter."""
    return "prometheus" in run([program, "-vv"]).output.lower()
