"""Redis itself: version, start, clients, memory, and what it had to refuse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from observability.errors import Reason, TargetError
from observability.metrics import Metric, Sample
from observability.probes.probe import Probe

INFO = Metric(
    name="ha.redis.info",
    kind="gauge",
    help="Always 1; its labels say which version runs and in which mode (standalone, sentinel or cluster).",
    labels=("mode", "version"),
)
UPTIME = Metric(
    name="ha.redis.uptime",
    kind="gauge",
    unit="s",
    help="Time since the server started.",
    compat="redis_uptime_in_seconds",
)
LOADING = Metric(
    name="ha.redis.loading", kind="gauge", help="1 while the server loads its dataset and answers no commands on it."
)
CLIENTS = Metric(
    name="ha.redis.clients",
    kind="gauge",
    unit="{client}",
    help="Client connections by state; blocked ones wait in a blocking command and are counted as connected too.",
    labels=("state",),
)
CLIENTS_MAX = Metric(
    name="ha.redis.clients.max",
    kind="gauge",
    unit="{client}",
    help="Setting maxclients: connections beyond it are refused.",
    compat="redis_config_maxclients",
)
MEMORY_USED = Metric(
    name="ha.redis.memory.used",
    kind="gauge",
    unit="By",
    help="Memory that the dataset and buffers take.",
    compat="redis_memory_used_bytes",
)
MEMORY_MAX = Metric(
    name="ha.redis.memory.max",
    kind="gauge",
    unit="By",
    help="Setting maxmemory; absent where there is no limit.",
)
EVICTED = Metric(
    name="ha.redis.keys.evicted",
    kind="counter",
    unit="{key}",
    help="Keys dropped because memory was full: each may have been a session.",
    compat="redis_evicted_keys_total",
)
REJECTED = Metric(
    name="ha.redis.connections.rejected",
    kind="counter",
    unit="{connection}",
    help="Connections refused because maxclients was reached.",
    compat="redis_rejected_connections_total",
)
COMMANDS = Metric(
    name="ha.redis.commands",
    kind="counter",
    unit="{command}",
    help="Commands processed.",
    compat="redis_commands_processed_total",
)
KEYS = Metric(
    name="ha.redis.keys",
    kind="gauge",
    unit="{key}",
    help="Keys in each database.",
    labels=("database",),
)
PERSISTENCE_OK = Metric(
    name="ha.redis.persistence.ok",
    kind="gauge",
    help="1 while the last background save (rdb), or the last write and rewrite of the append-only file (aof), succeeded; "
    "aof is absent while it is switched off.",
    labels=("kind",),
)

QUESTION = ("INFO", "everything")


def read(info: Mapping[str, str]) -> Iterator[Sample]:
    """
    INFO's server, clients, memory, stats, persistence and keyspace sections.

    Raises:
        TargetError: after them, while the server loads its dataset: it answers INFO, but no command that matters.

    """
    yield INFO.sample(1, info.get("redis_mode", "unknown"), info.get("redis_version", "unknown"))
    yield from UPTIME.known(_float(info, "uptime_in_seconds"))
    yield from LOADING.known(_float(info, "loading"))
    yield from CLIENTS.known(_float(info, "connected_clients"), "connected")
    yield from CLIENTS.known(_float(info, "blocked_clients"), "blocked")
    yield from CLIENTS_MAX.known(_float(info, "maxclients"))
    yield from MEMORY_USED.known(_float(info, "used_memory"))
    yield from MEMORY_MAX.known(_float(info, "maxmemory") or None)
    yield from EVICTED.known(_float(info, "evicted_keys"))
    yield from REJECTED.known(_float(info, "rejected_connections"))
    yield from COMMANDS.known(_float(info, "total_commands_processed"))
    yield from _persistence(info)
    yield from _keys(info)
    require_loaded(info)


def require_loaded(info: Mapping[str, str]) -> None:
    """
    Make sure that the server has its dataset.

    Raises:
        TargetError: while it is still loading.

    """
    if info.get("loading") == "1":
        raise TargetError(Reason.STARTING, "the server is loading its dataset, and refuses commands on it")


def _persistence(info: Mapping[str, str]) -> Iterator[Sample]:
    if "rdb_last_bgsave_status" in info:
        yield PERSISTENCE_OK.sample(float(info["rdb_last_bgsave_status"] == "ok"), "rdb")
    if info.get("aof_enabled") == "1":
        aof = (info.get("aof_last_write_status"), info.get("aof_last_bgrewrite_status"))
        yield PERSISTENCE_OK.sample(float(aof == ("ok", "ok")), "aof")


def _keys(info: Mapping[str, str]) -> Iterator[Sample]:
    """`db0:keys=42,expires=7,avg_ttl=0`."""
    for field, value in info.items():
        if field.startswith("db") and field[2:].isdigit() and value.startswith("keys="):
            yield KEYS.sample(float(value.split(",", 1)[0].removeprefix("keys=")), field.removeprefix("db"))


def _float(info: Mapping[str, str], field: str) -> float | None:
    try:
        return float(info[field])
    except (KeyError, ValueError):
        return None


METRICS = (
    INFO,
    UPTIME,
    LOADING,
    CLIENTS,
    CLIENTS_MAX,
    MEMORY_USED,
    MEMORY_MAX,
    EVICTED,
    REJECTED,
    COMMANDS,
    KEYS,
    PERSISTENCE_OK,
)
PROBE = Probe("redis.server", "redis", QUESTION, read, METRICS)
