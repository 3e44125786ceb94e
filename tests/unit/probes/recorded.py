"""
Answers of real servers, recorded: PostgreSQL 16.14, Redis 6.2.14 and 7.0.15, each a pair.

The primary of PostgreSQL had a session that waited for the lock of another one, which sat idle in its transaction.
"Cut" are the standby and the replicas a moment after their primary had been killed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from observability.connect.redis import parse_info

Rows = list[dict[str, Any]]

SYSTEM = "7711033058475481576"

PRIMARY: dict[str, Rows] = {
    "postgres.server": [
        {
            "version": "16.14",
            "started": 1795364791.486773,
            "in_recovery": False,
            "system_identifier": SYSTEM,
        }
    ],
    "postgres.timeline": [{"timeline": 1}],
    "postgres.activity": [
        {
            "state": "active",
            "connections": 2,
            "hidden": 0,
            "transaction_age": 1.521336,
            "idle_transaction_age": None,
            "lock_waiters": 1,
            "max_connections": 60,
            "reserved_connections": 3,
        },
        {
            "state": "idle in transaction",
            "connections": 1,
            "hidden": 0,
            "transaction_age": 1.533468,
            "idle_transaction_age": 1.533107,
            "lock_waiters": 0,
            "max_connections": 60,
            "reserved_connections": 3,
        },
    ],
    "postgres.replication": [
        {
            "in_recovery": False,
            "flushed": 50499336.0,
            "received": None,
            "replayed": None,
            "paused": None,
            "replayed_age": None,
            "receiver_runs": False,
            "receiver_status": None,
            "message_age": None,
        }
    ],
    "postgres.senders": [
        {
            "standby": "pg-2",
            "hidden": 0,
            "async": 1,
            "potential": 0,
            "quorum": 0,
            "sync": 0,
            "sent_bytes": 0.0,
            "write_bytes": 0.0,
            "flush_bytes": 0.0,
            "replay_bytes": 0.0,
            "write_seconds": None,
            "flush_seconds": None,
            "replay_seconds": None,
        }
    ],
}

STANDBY: dict[str, Rows] = {
    "postgres.server": [
        {
            "version": "16.14",
            "started": 1795364792.951394,
            "in_recovery": True,
            "system_identifier": SYSTEM,
        }
    ],
    "postgres.timeline": [{"timeline": 1}],
    "postgres.activity": [
        {
            "state": "active",
            "connections": 1,
            "hidden": 0,
            "transaction_age": None,
            "idle_transaction_age": None,
            "lock_waiters": 0,
            "max_connections": 60,
            "reserved_connections": 3,
        }
    ],
    "postgres.replication": [
        {
            "in_recovery": True,
            "flushed": None,
            "received": 50499712.0,
            "replayed": 50499712.0,
            "paused": False,
            "replayed_age": 0.026576,
            "receiver_runs": True,
            "receiver_status": "streaming",
            "message_age": 0.02608,
        }
    ],
    "postgres.senders": [],
}

CUT_STANDBY: dict[str, Rows] = STANDBY | {
    "postgres.replication": [
        {
            "in_recovery": True,
            "flushed": None,
            "received": 50499712.0,
            "replayed": 50499712.0,
            "paused": False,
            "replayed_age": 1.078932,
            "receiver_runs": False,
            "receiver_status": None,
            "message_age": None,
        }
    ],
}


def redis_info(name: str) -> Mapping[str, str]:
    """What Redis answered to INFO: `6.2` or `7`, with `-master`, `-replica` or `-cut`."""
    text = (Path(__file__).parent / "answers" / f"redis-{name}.txt").read_text()
    return parse_info(text)
