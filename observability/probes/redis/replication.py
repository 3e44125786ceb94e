"""Redis replication from both ends: role, offsets, the link to the master, and how far each replica has got."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from observability.metrics import Metric, Sample
from observability.probes.probe import Probe
from observability.probes.redis.server import QUESTION, require_loaded

ROLES = ("master", "replica")
_ROLE_OF = {"master": "master", "slave": "replica"}

ROLE = Metric(
    name="ha.redis.role",
    kind="gauge",
    help="1 for the role that the server has now, 0 for the other.",
    labels=("role",),
)
OFFSET = Metric(
    name="ha.redis.replication.offset",
    kind="gauge",
    unit="By",
    help="Replication offset: bytes of the stream that a master has produced or a replica has processed.",
    compat="redis_master_repl_offset",
)
LINK_UP = Metric(
    name="ha.redis.replication.link.up",
    kind="gauge",
    help="1 while the replica's link to its master is up; absent on a master.",
    compat="redis_master_link_up",
)
LAST_IO_AGE = Metric(
    name="ha.redis.replication.last_io.age",
    kind="gauge",
    unit="s",
    help="Time since the replica last heard from its master; absent on a master and while the link is down.",
)
LINK_DOWN_TIME = Metric(
    name="ha.redis.replication.link.down.time",
    kind="gauge",
    unit="s",
    help="How long the replica's link has been down; absent while it is up.",
)
SYNCING = Metric(
    name="ha.redis.replication.sync_in_progress",
    kind="gauge",
    help="1 while the replica takes a full copy and cannot serve; absent on a master.",
)
REPLICAS = Metric(
    name="ha.redis.replication.replicas",
    kind="gauge",
    unit="{replica}",
    help="Replicas that are connected and online; 0 on a master means that nobody has a copy.",
)
REPLICAS_MIN = Metric(
    name="ha.redis.replication.replicas.good",
    kind="gauge",
    unit="{replica}",
    help="Replicas whose lag is within min-replicas-max-lag; absent unless min-replicas-to-write guards the master.",
)


def read(info: Mapping[str, str]) -> Iterator[Sample]:
    """
    INFO's replication section; a sentinel has none and gives nothing.

    Raises:
        TargetError: while the server loads its dataset, since its offset is only known afterwards.

    """
    require_loaded(info)
    role = _ROLE_OF.get(info.get("role", ""))
    if role is None:
        return
    yield from ROLE.states(role, ROLES)
    yield REPLICAS.sample(float(sum("state=online" in replica for replica in _replicas(info))))
    if "min_slaves_good_slaves" in info:
        yield REPLICAS_MIN.sample(float(info["min_slaves_good_slaves"]))
    if role == "master":
        yield OFFSET.sample(float(info["master_repl_offset"]))
        return
    yield from OFFSET.known(float(info["slave_repl_offset"]) if "slave_repl_offset" in info else None)
    yield LINK_UP.sample(float(info.get("master_link_status") == "up"))
    yield SYNCING.sample(float(info.get("master_sync_in_progress") == "1"))
    # Redis says -1 for "never" and "not now": no age is known then.
    yield from LAST_IO_AGE.known(_age(info.get("master_last_io_seconds_ago")))
    yield from LINK_DOWN_TIME.known(_age(info.get("master_link_down_since_seconds")))


def _replicas(info: Mapping[str, str]) -> list[str]:
    """`slave0:ip=127.0.0.1,port=6380,state=online,offset=14,lag=0`."""
    return [value for field, value in info.items() if field.startswith("slave") and field[5:].isdigit()]


def _age(seconds: str | None) -> float | None:
    return None if seconds is None or seconds.startswith("-") else float(seconds)


METRICS = (ROLE, OFFSET, LINK_UP, LAST_IO_AGE, LINK_DOWN_TIME, SYNCING, REPLICAS, REPLICAS_MIN)
PROBE = Probe("redis.replication", "redis", QUESTION, read, METRICS)
