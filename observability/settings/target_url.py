"""From one URL to a target: `postgresql://`, `redis://`, `rediss://`, `http://`, `https://`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from observability.connect.target import TlsMode

_POSTGRES = {"postgresql", "postgres"}
_SYSTEMS = {"redis": "redis", "rediss": "redis", "http": "http", "https": "http"}
_TLS_PARAMETERS = {"sslmode": "mode", "sslrootcert": "ca_file", "sslcert": "cert_file", "sslkey": "key_file"}
_IGNORED_PARAMETERS = {"application_name", "connect_timeout", "target_session_attrs"}


def parse(url: str) -> dict[str, Any]:
    """
    The fields of a target that the URL gives: system, host, port, database, user, password, tls, url.

    Raises:
        ValueError: with a sentence that names what is wrong and the way out, and never the password.

    """
    parts = _split(url)
    scheme = parts.scheme.partition("+")[0]
    system = "postgres" if scheme in _POSTGRES else _SYSTEMS.get(scheme)
    if system is None:
        raise ValueError(f"scheme '{scheme}' is not known: use postgresql://, redis://, rediss://, http:// or https://")
    if "," in parts.netloc.rpartition("@")[2]:
        raise ValueError("several hosts in one URL: each server is a target of its own, so that each is measured")
    port = _port(parts)
    if not parts.hostname:
        raise ValueError(f"there is no host in the URL: write {scheme}://HOST:PORT/...")
    found: dict[str, Any] = {"system": system, "host": unquote(parts.hostname), "port": port or 0}
    if parts.username:
        found["user"] = unquote(parts.username)
    if parts.password:
        found["password"] = unquote(parts.password)
    if system == "http":
        tls = {"tls": {"mode": "verify-full"}} if scheme == "https" else {}
        return found | {"url": _without_credentials(parts)} | tls
    found["database"] = unquote(parts.path.lstrip("/"))
    if system == "redis" and found["database"] and not found["database"].isdigit():
        raise ValueError(f"the Redis database must be a number, not '{found['database']}'")
    return found | {"tls": _tls(parts, scheme)}


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("it is not a URL: write SCHEME://USER@HOST:PORT/...") from None
    rest = f"{parts.path}{parts.query}{parts.fragment}"
    if "@" in rest and (parts.username or not parts.scheme.startswith("http")):
        # The password would end at its first special character, and the rest of it stand in some message.
        raise ValueError("the URL ends too early: write / ? # and @ in user or password as %2F %3F %23 %40")
    return parts


def _port(parts: SplitResult) -> int | None:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError("the port must be a number from 1 to 65535")
    return port


def _tls(parts: SplitResult, scheme: str) -> dict[str, Any]:
    tls: dict[str, Any] = {"mode": "verify-full"} if scheme == "rediss" else {}
    for name, value in parse_qsl(parts.query):
        if name in _TLS_PARAMETERS:
            tls[_TLS_PARAMETERS[name]] = value if name == "sslmode" else Path(value)
        elif name not in _IGNORED_PARAMETERS:
            known = ", ".join(sorted(_TLS_PARAMETERS))
            raise ValueError(f"parameter '{name}' is not known here: the URL takes {known}")
    if tls.get("mode") == "allow":
        tls["mode"] = "prefer"
    if "mode" in tls and tls["mode"] not in get_args(TlsMode):
        raise ValueError(f"sslmode '{tls['mode']}' is not known: use {', '.join(get_args(TlsMode))}")
    return tls


def _without_credentials(parts: SplitResult) -> str:
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
