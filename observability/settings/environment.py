"""
Targets from the environment alone, so that a container beside an existing compose file needs no configuration file.

Read are libpq's variables, the usual `POSTGRES_*` and `REDIS_*`, and whole URLs; nothing here is read when a file or
`HA_TARGETS` names targets.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

_POSTGRES_URLS = ("DATABASE_URL", "POSTGRES_URL", "LETTA_PG_URI")
_REDIS_URLS = ("REDIS_URL",)
_POSTGRES = {
    "host": ("PGHOST", "POSTGRES_HOST"),
    "port": ("PGPORT", "POSTGRES_PORT"),
    "user": ("PGUSER", "POSTGRES_USER"),
    "database": ("PGDATABASE", "POSTGRES_DB", "POSTGRES_DATABASE"),
    "password": ("PGPASSWORD", "POSTGRES_PASSWORD"),
    "password_file": ("POSTGRES_PASSWORD_FILE",),
}
_REDIS = {
    "host": ("REDIS_HOST", "LETTA_REDIS_HOST"),
    "port": ("REDIS_PORT", "LETTA_REDIS_PORT"),
    "user": ("REDIS_USERNAME", "REDIS_USER"),
    "database": ("REDIS_DB",),
    "password": ("REDIS_PASSWORD",),
    "password_file": ("REDIS_PASSWORD_FILE",),
}
_POSTGRES_TLS = {"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY"}

VARIABLES = (
    *_POSTGRES_URLS,
    *_REDIS_URLS,
    *(name for names in (*_POSTGRES.values(), *_REDIS.values()) for name in names),
    *_POSTGRES_TLS.values(),
)
"""All that is read, in the order in which it is tried."""


def targets(env: Mapping[str, str]) -> list[dict[str, Any]]:
    """Raw targets in the form of the configuration file; empty where the environment names none."""
    return [*_postgres(env), *_redis(env)]


def _postgres(env: Mapping[str, str]) -> list[dict[str, Any]]:
    urls = [env[name] for name in _POSTGRES_URLS if env.get(name)]
    if urls:
        return [{"url": url} for url in dict.fromkeys(urls) if url.startswith("postgres")]
    found = _values(env, _POSTGRES)
    if not any(name in found for name in ("host", "user", "password", "password_file")):
        return []
    parameters = "&".join(f"{key}={quote(env[name], safe='')}" for key, name in _POSTGRES_TLS.items() if env.get(name))
    return [_target("postgresql", host, found, f"?{parameters}" if parameters else "") for host in _hosts(found)]


def _redis(env: Mapping[str, str]) -> list[dict[str, Any]]:
    urls = [env[name] for name in _REDIS_URLS if env.get(name)]
    if urls:
        return [{"url": url} for url in urls]
    found = _values(env, _REDIS)
    if not any(name in found for name in ("host", "password", "password_file")):
        return []
    return [_target("redis", host, found, "") for host in _hosts(found)]


def _values(env: Mapping[str, str], variables: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    found = {}
    for field, names in variables.items():
        value = next((env[name] for name in names if env.get(name)), None)
        if value is not None:
            found[field] = value
    return found


def _hosts(found: Mapping[str, str]) -> list[tuple[str, str]]:
    """Hosts with their ports; libpq allows lists of both, and each host is a target of its own."""
    hosts = found.get("host", "localhost").split(",")
    ports = found.get("port", "").split(",")
    return [(host, ports[index] if len(ports) == len(hosts) else ports[0]) for index, host in enumerate(hosts)]


def _target(scheme: str, host: tuple[str, str], found: Mapping[str, str], query: str) -> dict[str, Any]:
    name, port = host
    name = f"[{name}]" if ":" in name else name
    user = f"{quote(found['user'], safe='')}@" if "user" in found else ""
    url = f"{scheme}://{user}{name}{f':{port}' if port else ''}/{quote(found.get('database', ''), safe='')}{query}"
    target: dict[str, Any] = {"url": url}
    if "password_file" in found:
        target["password_file"] = Path(found["password_file"])
    elif "password" in found:
        target["password"] = found["password"]
    return target
