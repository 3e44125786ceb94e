"""
The only door to drivers: a target becomes a connection, with every timeout and TLS setting.

Drivers load when they are asked for, or when the first target of their kind is opened.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from typing import cast

from observability.connect import tls
from observability.connect.target import Secret, Target, Tls
from observability.errors import Reason, TargetError
from observability.probes.probe import Connection, Failure

__all__ = ["DRIVERS", "Secret", "Target", "Tls", "open_connection", "prepare"]

DRIVERS = {
    "postgres": "observability.connect.postgres",
    "redis": "observability.connect.redis",
    "http": "observability.connect.http",
}


def prepare(targets: Iterable[Target]) -> None:
    """
    Import drivers and read certificates of `targets`, so that the first scrape is as quick as all others.

    What is missing or wrong shows there.
    """
    for target in targets:
        with suppress(ImportError, TargetError):
            import_module(DRIVERS[target.system])
            tls.context(target.tls)


async def open_connection(target: Target, timeout: float) -> Connection | Failure:
    """A new connection to `target`, or why there is none, within `timeout` seconds; never raises for what a server did."""
    try:
        driver = import_module(DRIVERS[target.system])
    except ImportError as error:
        return Failure(Reason.ERROR, f"{error.name} is not installed: pip install 'ha-observability[exporter]'")
    return cast("Connection | Failure", await driver.connect(target, timeout))
