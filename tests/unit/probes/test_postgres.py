"""What the PostgreSQL probes make of recorded answers."""

from __future__ import annotations

from typing import Any

import pytest

from observability.errors import Reason, TargetError
from observability.metrics import Sample
from observability.probes.postgres import activity, replication, senders, server, timeline
from observability.probes.probe import Probe
from tests.unit.probes.recorded import CUT_STANDBY, PRIMARY, STANDBY, SYSTEM, Rows


def read(probe: Probe, answers: dict[str, Rows]) -> list[Sample]:
    """All samples that the probe makes of the recorded answer."""
    return list(probe.read(answers[probe.name]))


def refused(probe: Probe, rows: Rows) -> tuple[list[Sample], Reason]:
    """The samples that come before the probe gives up, and why it does."""
    samples: list[Sample] = []
    with pytest.raises(TargetError, match="grant pg_monitor") as raised:
        samples.extend(probe.read(rows))
    return samples, raised.value.reason


def changed(rows: Rows, **changes: Any) -> Rows:
    """The first row of the rows, changed."""
    return [rows[0] | changes]


class TestServer:
    """Which PostgreSQL this is."""

    def test_primary(self) -> None:
        """A primary with its version, cluster and start."""
        assert read(server.PROBE, PRIMARY) == [
            server.INFO.sample(1, SYSTEM, "16.14"),
            server.START_TIME.sample(1795364791.486773),
            server.ROLE.sample(1.0, "primary"),
            server.ROLE.sample(0.0, "standby"),
        ]

    def test_standby(self) -> None:
        """A server in recovery is a standby."""
        assert read(server.PROBE, STANDBY)[2:4] == [
            server.ROLE.sample(0.0, "primary"),
            server.ROLE.sample(1.0, "standby"),
        ]

    def test_version_without_the_packagers_words(self) -> None:
        """Debian adds its own package version in brackets: it makes no other label value."""
        rows = changed(PRIMARY["postgres.server"], version="15.14 (Debian 15.14-0+deb12u1)")
        assert next(iter(server.read(rows))) == server.INFO.sample(1, SYSTEM, "15.14")


class TestTimeline:
    """Which timeline it writes or follows."""

    def test_both_roles(self) -> None:
        """A primary and its standby are on one timeline."""
        assert read(timeline.PROBE, PRIMARY) == read(timeline.PROBE, STANDBY) == [timeline.TIMELINE.sample(1)]

    def test_unknown_timeline_is_absent(self) -> None:
        """A timeline that the server cannot tell is no sample."""
        assert list(timeline.read([{"timeline": None}])) == []


class TestActivity:
    """Who is connected."""

    def test_somebody_waits_for_a_lock(self) -> None:
        """Sessions by state, the oldest transaction, who idles in one, who waits."""
        counts = dict.fromkeys(activity.STATES, 0) | {"active": 2, "idle in transaction": 1}
        assert read(activity.PROBE, PRIMARY) == [
            *(activity.CONNECTIONS.sample(counts[state], state) for state in activity.STATES),
            activity.CONNECTIONS_MAX.sample(60),
            activity.CONNECTIONS_RESERVED.sample(3),
            activity.TRANSACTION_AGE.sample(1.533468),
            activity.IDLE_TRANSACTION_AGE.sample(1.533107),
            activity.LOCK_WAITERS.sample(1),
        ]

    def test_nobody_but_ourselves(self) -> None:
        """With only our own session no transaction is open, and that is known: 0, not absent."""
        counts = dict.fromkeys(activity.STATES, 0) | {"active": 1}
        assert read(activity.PROBE, STANDBY) == [
            *(activity.CONNECTIONS.sample(counts[state], state) for state in activity.STATES),
            activity.CONNECTIONS_MAX.sample(60),
            activity.CONNECTIONS_RESERVED.sample(3),
            activity.TRANSACTION_AGE.sample(0.0),
            activity.IDLE_TRANSACTION_AGE.sample(0.0),
            activity.LOCK_WAITERS.sample(0),
        ]

    def test_hidden_sessions_are_unknown(self) -> None:
        """Without pg_monitor other sessions are counted, their ages are not made up, and the reason is permission."""
        hidden = PRIMARY["postgres.activity"][0] | {"state": "unknown", "connections": 7, "hidden": 7}
        counts = dict.fromkeys(activity.STATES, 0) | {"active": 1, "unknown": 7}
        samples, reason = refused(activity.PROBE, [*STANDBY["postgres.activity"], hidden])
        assert reason is Reason.PERMISSION
        assert samples == [
            *(activity.CONNECTIONS.sample(counts[state], state) for state in activity.STATES),
            activity.CONNECTIONS_MAX.sample(60),
            activity.CONNECTIONS_RESERVED.sample(3),
        ]


class TestReplication:
    """Replication as a standby sees it."""

    def test_primary_knows_its_own_position_only(self) -> None:
        """What only a standby can know is absent on a primary."""
        assert read(replication.PROBE, PRIMARY) == [replication.WAL_POSITION.sample(50499336.0, "flushed")]

    def test_streaming_standby(self) -> None:
        """Positions, the receiver, and how old what it replayed is."""
        assert read(replication.PROBE, STANDBY) == [
            replication.WAL_POSITION.sample(50499712.0, "received"),
            replication.WAL_POSITION.sample(50499712.0, "replayed"),
            replication.REPLAY_PAUSED.sample(False),
            replication.REPLAYED_AGE.sample(0.026576),
            replication.RECEIVER_STREAMING.sample(1.0),
            replication.RECEIVER_MESSAGE_AGE.sample(0.02608),
        ]

    def test_cut_off_standby(self) -> None:
        """Without a receiver streaming is 0, and no age of a message is made up."""
        assert read(replication.PROBE, CUT_STANDBY)[3:] == [
            replication.REPLAYED_AGE.sample(1.078932),
            replication.RECEIVER_STREAMING.sample(0.0),
        ]

    def test_nothing_received_yet_is_absent(self) -> None:
        """A standby that reads its WAL from an archive has received nothing: no position, not position 0."""
        rows = changed(CUT_STANDBY["postgres.replication"], received=None, replayed_age=None)
        assert list(replication.read(rows)) == [
            replication.WAL_POSITION.sample(50499712.0, "replayed"),
            replication.REPLAY_PAUSED.sample(False),
            replication.RECEIVER_STREAMING.sample(0.0),
        ]

    def test_hidden_receiver_is_unknown(self) -> None:
        """Without pg_monitor the receiver is not called idle: its samples are absent, the reason is permission."""
        rows = changed(STANDBY["postgres.replication"], receiver_status=None, message_age=None)
        samples, reason = refused(replication.PROBE, rows)
        assert reason is Reason.PERMISSION
        assert samples == read(replication.PROBE, STANDBY)[:4]


class TestSenders:
    """Replication as the server that sends sees it."""

    def test_nobody_streams(self) -> None:
        """No receiver is a fact that is known: 0 of each kind."""
        expected = [senders.STANDBYS.sample(0, state) for state in senders.SYNC_STATES]
        assert read(senders.PROBE, STANDBY) == expected

    def test_idle_receiver(self) -> None:
        """A receiver that is up to date has no backlog, and no lag in seconds, which PostgreSQL no longer knows."""
        assert read(senders.PROBE, PRIMARY) == [
            senders.STANDBYS.sample(1, "async"),
            senders.STANDBYS.sample(0, "potential"),
            senders.STANDBYS.sample(0, "quorum"),
            senders.STANDBYS.sample(0, "sync"),
            *(senders.SENDER_BACKLOG.sample(0.0, stage, "pg-2") for stage in senders.STAGES),
        ]

    def test_receivers_that_are_behind(self) -> None:
        """Each receiver with its backlog and lag; a position that is newer than ours was is 0, not negative."""
        row = PRIMARY["postgres.senders"][0]
        lagging = row | {
            "sent_bytes": 10.0,
            "write_bytes": 20.0,
            "flush_bytes": 30.0,
            "replay_bytes": 40.0,
            "write_seconds": 0.1,
            "flush_seconds": 0.2,
            "replay_seconds": 0.3,
        }
        newer = row | {"standby": "pg-3", "async": 0, "sync": 1, "replay_bytes": -64.0, "sent_bytes": None}
        assert list(senders.read([lagging, newer])) == [
            senders.STANDBYS.sample(1, "async"),
            senders.STANDBYS.sample(0, "potential"),
            senders.STANDBYS.sample(0, "quorum"),
            senders.STANDBYS.sample(1, "sync"),
            senders.SENDER_BACKLOG.sample(10.0, "sent", "pg-2"),
            senders.SENDER_BACKLOG.sample(20.0, "write", "pg-2"),
            senders.SENDER_LAG.sample(0.1, "write", "pg-2"),
            senders.SENDER_BACKLOG.sample(30.0, "flush", "pg-2"),
            senders.SENDER_LAG.sample(0.2, "flush", "pg-2"),
            senders.SENDER_BACKLOG.sample(40.0, "replay", "pg-2"),
            senders.SENDER_LAG.sample(0.3, "replay", "pg-2"),
            senders.SENDER_BACKLOG.sample(0.0, "write", "pg-3"),
            senders.SENDER_BACKLOG.sample(0.0, "flush", "pg-3"),
            senders.SENDER_BACKLOG.sample(0.0, "replay", "pg-3"),
        ]

    def test_hidden_receivers_are_unknown(self) -> None:
        """Without pg_monitor nobody says that nobody streams."""
        assert refused(senders.PROBE, changed(PRIMARY["postgres.senders"], hidden=1)) == ([], Reason.PERMISSION)
