"""What the Redis probes make of recorded answers."""

from __future__ import annotations

import pytest

from observability.connect.redis import parse_info
from observability.errors import Reason, TargetError
from observability.metrics import Sample
from observability.probes.redis import replication, server
from tests.unit.probes.recorded import redis_info


def figures(version: str, seconds: int, clients: int, memory: int, commands: int) -> list[Sample]:
    """What the recorded servers have in common, and where they differ."""
    return [
        server.INFO.sample(1, "standalone", version),
        server.UPTIME.sample(seconds),
        server.LOADING.sample(0),
        server.CLIENTS.sample(clients, "connected"),
        server.CLIENTS.sample(0, "blocked"),
        server.CLIENTS_MAX.sample(10_000),
        server.MEMORY_USED.sample(memory),
        server.MEMORY_MAX.sample(67_108_864),
        server.EVICTED.sample(0),
        server.REJECTED.sample(0),
        server.COMMANDS.sample(commands),
        server.PERSISTENCE_OK.sample(1, "rdb"),
        server.KEYS.sample(42, "0"),
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("6.2-master", figures("6.2.14", 2, 2, 2_030_192, 66)),
        ("6.2-replica", figures("6.2.14", 2, 2, 2_012_640, 63)),
        ("6.2-cut", figures("6.2.14", 4, 1, 2_045_248, 68)),
        ("7-master", figures("7.0.15", 1, 2, 1_157_944, 54)),
        ("7-replica", figures("7.0.15", 1, 2, 1_065_296, 51)),
        ("7-cut", figures("7.0.15", 4, 1, 1_106_080, 53)),
    ],
)
def test_server(name: str, expected: list[Sample]) -> None:
    """Version, clients, memory, refusals, persistence and keys of each recorded server."""
    assert expected == list(server.read(redis_info(name)))


def role(name: str, replicas: int) -> list[Sample]:
    """The role's state set and the number of replicas."""
    return [*replication.ROLE.states(name, replication.ROLES), replication.REPLICAS.sample(replicas)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("6.2-master", [*role("master", 1), replication.OFFSET.sample(1424)]),
        ("7-master", [*role("master", 1), replication.OFFSET.sample(1487)]),
        (
            "6.2-replica",
            [
                *role("replica", 0),
                replication.OFFSET.sample(1424),
                replication.LINK_UP.sample(1),
                replication.SYNCING.sample(0),
                replication.LAST_IO_AGE.sample(1),
            ],
        ),
        (
            "7-cut",
            [
                *role("replica", 0),
                replication.OFFSET.sample(1487),
                replication.LINK_UP.sample(0),
                replication.SYNCING.sample(0),
                replication.LINK_DOWN_TIME.sample(3),
            ],
        ),
    ],
)
def test_replication(name: str, expected: list[Sample]) -> None:
    """Role, offset and link; an age that Redis gives as -1 is absent."""
    assert expected == list(replication.read(redis_info(name)))


def test_only_replicas_that_are_online_count() -> None:
    """A replica that still takes its first copy is no copy yet."""
    info = dict(redis_info("7-master")) | {
        "slave1": "ip=127.0.0.1,port=6381,state=wait_bgsave,offset=0,lag=0",
        "min_slaves_good_slaves": "1",
    }
    assert list(replication.read(info)) == [
        *role("master", 1),
        replication.REPLICAS_MIN.sample(1),
        replication.OFFSET.sample(1487),
    ]


def test_sentinel_has_no_role() -> None:
    """A sentinel answers INFO without a replication section: nothing is made up."""
    info = parse_info("# Server\nredis_version:7.0.15\nredis_mode:sentinel\nuptime_in_seconds:9\n")
    assert list(server.read(info)) == [server.INFO.sample(1, "sentinel", "7.0.15"), server.UPTIME.sample(9)]
    assert list(replication.read(info)) == []


@pytest.mark.parametrize(
    ("changes", "metric"),
    [
        pytest.param({"maxmemory": "0"}, server.MEMORY_MAX, id="no limit of memory"),
        pytest.param({"used_memory": "much"}, server.MEMORY_USED, id="no number"),
        pytest.param({"maxclients": ""}, server.CLIENTS_MAX, id="empty"),
        pytest.param({"db0": "gone"}, server.KEYS, id="keyspace in another form"),
    ],
)
def test_what_cannot_be_read_is_absent(changes: dict[str, str], metric: object) -> None:
    """A field that is missing, unlimited or in another form costs its own sample and becomes no 0."""
    expected = [sample for sample in server.read(redis_info("7-master")) if sample.metric is not metric]
    assert expected == list(server.read(dict(redis_info("7-master")) | changes))


@pytest.mark.parametrize(("write", "rewrite", "ok"), [("ok", "ok", 1.0), ("err", "ok", 0.0), ("ok", "err", 0.0)])
def test_append_only_file(write: str, rewrite: str, ok: float) -> None:
    """Where the append-only file is on, a failed write (the disk is full) counts as much as a failed rewrite."""
    info = dict(redis_info("7-master")) | {
        "aof_enabled": "1",
        "aof_last_write_status": write,
        "aof_last_bgrewrite_status": rewrite,
    }
    assert server.PERSISTENCE_OK.sample(ok, "aof") in list(server.read(info))


def test_loading_server_is_starting() -> None:
    """While the dataset loads, figures of the process stand; role and offset wait, and the reason is `starting`."""
    info = dict(redis_info("7-master")) | {"loading": "1"}
    samples: list[Sample] = []
    for read in (server.read, replication.read):
        with pytest.raises(TargetError, match="loading its dataset") as raised:
            samples.extend(read(info))
        assert raised.value.reason is Reason.STARTING
    expected = figures("7.0.15", 1, 2, 1_157_944, 54)
    expected[2] = server.LOADING.sample(1)
    assert samples == expected


def test_info_is_read_line_by_line() -> None:
    """Headings and lines without a colon are left out; a value may hold colons."""
    assert parse_info("# Server\r\na:1\r\nnothing\r\nb:2:3\r\n\r\n") == {"a": "1", "b": "2:3"}
