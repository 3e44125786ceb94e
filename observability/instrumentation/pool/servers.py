"""
Which server a connection leads to, and in which role it is, from what the driver already knows: no round trip.

PostgreSQL 14 and later tell each client `in_hot_standby` at the start and, when it changes, with the answer to its next
statement. Only the holder of a connection may ask its driver, as libpq is not safe to read while another thread uses it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sqlalchemy.pool import ConnectionPoolEntry

    from observability.instrumentation.pool.slot import Node

_ROLES: Final = {"on": "standby", "off": "primary"}


def node(record: ConnectionPoolEntry) -> Node | None:
    """The node that a record's connection leads to; None where the driver is not known, so it need not be asked again."""
    connection = record.driver_connection
    read = _DRIVERS.get(type(connection).__module__.partition(".")[0])
    return read(connection) if read else None


def _psycopg(connection: Any) -> Node:
    info = connection.info
    status = connection.pgconn.parameter_status(b"in_hot_standby")
    return _ROLES.get(status.decode() if status else "", "unknown"), info.host, str(info.port)


def _asyncpg(connection: Any) -> Node:
    # asyncpg tells the address nowhere in public.
    address = getattr(connection, "_addr", "")
    host, port = address if isinstance(address, tuple) else (str(address), "")
    status = getattr(connection.get_settings(), "in_hot_standby", "")
    return _ROLES.get(status, "unknown"), str(host), str(port)


_DRIVERS: Final[dict[str, Callable[[Any], Node]]] = {"psycopg": _psycopg, "asyncpg": _asyncpg}
