"""From PostgreSQL's answer to a reading."""

from __future__ import annotations

from typing import Any

from observability.errors import Reason
from observability.failover.model import NodeView
from observability.failover.postgres import read
from observability.probes.probe import Answer, Failure
from tests.unit.failover.scenes import NOW

ROW: dict[str, Any] = {
    "in_recovery": True,
    "system_identifier": "7312345678901234567",
    "timeline": 3,
    "current_lsn": None,
    "received_lsn": 50331976,
    "replayed_lsn": 50331648,
    "replay_paused": False,
    "receiving": True,
    "heard_seconds": 0.25,
    "synchronous": [],
}


def test_row_of_a_standby() -> None:
    """Each column is the field of its name."""
    assert read("pg-2", NOW, 0.01, Answer([ROW], 0.004)) == NodeView(
        node="pg-2",
        at=NOW,
        seconds=0.01,
        reason=Reason.OK,
        in_recovery=True,
        system_identifier="7312345678901234567",
        timeline=3,
        received_lsn=50331976,
        replayed_lsn=50331648,
        replay_paused=False,
        receiving=True,
        heard_seconds=0.25,
    )


def test_row_of_a_primary_with_synchronous_standbys() -> None:
    """The names of synchronous standbys are kept; what a primary does not have stays unknown."""
    row = dict.fromkeys(ROW) | {"in_recovery": False, "current_lsn": 8, "synchronous": ["pg-2", "pg-3"]}
    assert read("pg-1", NOW, 0.01, Answer([row], 0.004)) == NodeView(
        node="pg-1",
        at=NOW,
        seconds=0.01,
        reason=Reason.OK,
        in_recovery=False,
        current_lsn=8,
        synchronous=("pg-2", "pg-3"),
    )


def test_failure_keeps_its_reason() -> None:
    """A server that gave no answer is known by why."""
    assert read("pg-1", NOW, 1.0, Failure(Reason.HUNG, "TimeoutError", 1.0)) == NodeView(
        node="pg-1", at=NOW, seconds=1.0, reason=Reason.HUNG, detail="TimeoutError"
    )


def test_answer_of_another_shape_is_no_answer() -> None:
    """Something that is not our one row says nothing about a role."""
    assert read("pg-1", NOW, 0.1, Answer([], 0.1)) == NodeView(
        node="pg-1", at=NOW, seconds=0.1, reason=Reason.PROTOCOL, detail="0 rows instead of one"
    )
