"""What a look at all nodes together tells: primaries, masters, and how far each standby is behind."""

from __future__ import annotations

import pytest

from observability.metrics import Batch, Sample
from observability.probes.cluster import (
    BACKLOG,
    LAG,
    MASTERS,
    PRIMARIES,
    REDIS_BACKLOG,
    TARGETS,
    Member,
    WalHistory,
    compare,
)
from observability.probes.postgres.replication import WAL_POSITION
from observability.probes.postgres.server import ROLE, ROLES
from observability.probes.redis import replication as redis

CLUSTER = (("cluster", "demo"),)


def member(server: str, system: str, samples: list[Sample], cluster: str = "demo") -> Member:
    """One target's part in a scrape."""
    return Member(cluster, server, system, (("cluster", cluster), ("server", server)), samples)


def primary(server: str, flushed: float | None, cluster: str = "demo") -> Member:
    """A primary whose WAL stands at `flushed`."""
    return member(
        server, "postgres", [*ROLE.states("primary", ROLES), *WAL_POSITION.known(flushed, "flushed")], cluster
    )


def standby(server: str, replayed: float | None, cluster: str = "demo") -> Member:
    """A standby that has replayed up to `replayed`."""
    return member(
        server, "postgres", [*ROLE.states("standby", ROLES), *WAL_POSITION.known(replayed, "replayed")], cluster
    )


def master(server: str, offset: float) -> Member:
    """A Redis master."""
    return member(server, "redis", [*redis.ROLE.states("master", redis.ROLES), redis.OFFSET.sample(offset)])


def replica(server: str, offset: float | None) -> Member:
    """A Redis replica."""
    return member(server, "redis", [*redis.ROLE.states("replica", redis.ROLES), *redis.OFFSET.known(offset)])


def gone(server: str, system: str = "postgres") -> Member:
    """A target that did not answer."""
    return member(server, system, [])


def counts(**found: int) -> Batch:
    """The batch of a cluster's counts: how many are configured, how many lead."""
    kinds = {"postgres": PRIMARIES, "redis": MASTERS}
    targets = [TARGETS.sample(count, system) for system, count in sorted(found.items()) if "_" not in system]
    leaders = [kinds[system].sample(found[f"{system}_leaders"]) for system in kinds if system in found]
    return Batch(CLUSTER, [*targets, *leaders])


def behind(server: str, backlog: float, lag: float) -> Batch:
    """The batch of a standby against its primary."""
    return Batch((*CLUSTER, ("server", server)), [BACKLOG.sample(backlog), LAG.sample(lag)])


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        pytest.param(
            [primary("pg-1", 100), standby("pg-2", 100)],
            [counts(postgres=2, postgres_leaders=1), behind("pg-2", 0, 0)],
            id="caught up",
        ),
        pytest.param(
            [primary("pg-1", 100), standby("pg-2", 40), standby("pg-3", 100)],
            [counts(postgres=3, postgres_leaders=1), behind("pg-2", 60, 0), behind("pg-3", 0, 0)],
            id="one is behind, first seen now",
        ),
        pytest.param(
            [primary("pg-1", 100), standby("pg-2", 130)],
            [counts(postgres=2, postgres_leaders=1), behind("pg-2", 0, 0)],
            id="read a moment later than the primary",
        ),
        pytest.param(
            [gone("pg-1"), standby("pg-2", 100)],
            [counts(postgres=2, postgres_leaders=0)],
            id="no primary: lag unknown",
        ),
        pytest.param(
            [primary("pg-1", 100), primary("pg-2", 90), standby("pg-3", 90)],
            [counts(postgres=3, postgres_leaders=2)],
            id="split brain: against whom would lag be measured",
        ),
        pytest.param(
            [primary("pg-1", None), standby("pg-2", 90)],
            [counts(postgres=2, postgres_leaders=1)],
            id="the primary's position is unknown",
        ),
        pytest.param(
            [primary("pg-1", 100), standby("pg-2", None), gone("pg-3")],
            [counts(postgres=3, postgres_leaders=1)],
            id="the standbys' positions are unknown",
        ),
        pytest.param([gone("pg-1"), gone("pg-2")], [counts(postgres=2, postgres_leaders=0)], id="nobody answers"),
        pytest.param(
            [master("r-1", 50), replica("r-2", 20), replica("r-3", None), gone("r-4", "redis")],
            [
                counts(redis=4, redis_leaders=1),
                Batch((*CLUSTER, ("server", "r-2")), [REDIS_BACKLOG.sample(30)]),
            ],
            id="redis",
        ),
        pytest.param(
            [master("r-1", 50), master("r-2", 50), replica("r-3", 20)],
            [counts(redis=3, redis_leaders=2)],
            id="two masters",
        ),
        pytest.param(
            [primary("pg-1", 1), replica("r-2", 5), member("web", "http", [])],
            [counts(postgres=1, redis=1, http=1, postgres_leaders=1, redis_leaders=0)],
            id="all systems in one cluster",
        ),
    ],
)
def test_one_scrape(members: list[Member], expected: list[Batch]) -> None:
    """What one scrape of a cluster tells; what cannot be known is absent."""
    assert expected == list(compare(members, {}, 1000.0))


def test_clusters_are_kept_apart() -> None:
    """A standby is measured against the primary of its own cluster."""
    members = [primary("a-1", 100, "a"), standby("a-2", 90, "a"), standby("b-2", 5, "b")]
    assert list(compare(members, {}, 1000.0)) == [
        Batch((("cluster", "a"),), [TARGETS.sample(2, "postgres"), PRIMARIES.sample(1)]),
        Batch((("cluster", "a"), ("server", "a-2")), [BACKLOG.sample(10), LAG.sample(0)]),
        Batch((("cluster", "b"),), [TARGETS.sample(1, "postgres"), PRIMARIES.sample(0)]),
    ]


class TestLag:
    """Lag in seconds, over several scrapes."""

    def lags(self, *scrapes: tuple[float, float | None, float | None]) -> list[float | None]:
        """The lag at each scrape, of (time, flushed on the primary or None if it is gone, replayed)."""
        histories: dict[str, WalHistory] = {}
        found: list[float | None] = []
        for now, flushed, replayed in scrapes:
            first = gone("pg-1") if flushed is None else primary("pg-1", flushed)
            batches = compare([first, standby("pg-2", replayed)], histories, now)
            lag = [sample.value for batch in batches for sample in batch.samples if sample.metric is LAG]
            found.append(float(lag[0]) if lag else None)  # type: ignore[arg-type]  # no histogram
        return found

    def test_idle_primary(self) -> None:
        """However long nothing is written, a standby that has everything is not behind."""
        assert self.lags((0, 100, 100), (3600, 100, 100), (7200, 100, 100)) == [0, 0, 0]

    def test_cut_off_standby(self) -> None:
        """A standby that gets nothing any more is behind since the primary's first step without it."""
        assert self.lags((0, 100, 100), (10, 150, 100), (20, 200, 100), (25, 200, 100)) == [0, 0, 10, 15]

    def test_standby_that_follows_at_a_distance(self) -> None:
        """The lag is the age of the first WAL that is missing, not the time since something was missing at all."""
        assert self.lags((0, 100, 100), (10, 200, 100), (20, 300, 150), (30, 400, 250)) == [0, 0, 10, 10]

    def test_catching_up(self) -> None:
        """Once everything is replayed the lag is 0 again."""
        assert self.lags((0, 100, 100), (10, 200, 100), (20, 200, 100), (30, 200, 200)) == [0, 0, 10, 0]

    def test_primary_that_was_away(self) -> None:
        """While the primary is gone the lag is unknown; when it is back the count goes on."""
        assert self.lags((0, 100, 90), (10, None, 90), (20, 100, 90)) == [0, None, 20]

    def test_failover_begins_another_history(self) -> None:
        """The positions of the old primary say nothing about the new one."""
        history = WalHistory()
        history.saw("pg-1", 500, 0)
        history.saw("pg-2", 400, 100)
        assert [history.lag(replayed, 130) for replayed in (300, 400)] == [30, 0]

    def test_wal_that_began_anew(self) -> None:
        """A server that was made anew under its old name has lower positions: its standby is not behind since ever."""
        history = WalHistory()
        history.saw("pg-1", 5_000, 0)
        history.saw("pg-1", 100, 3_600)
        assert history.lag(100, 3_700) == 0
        assert history.lag(90, 3_700) == 100


class TestHistory:
    """When the primary was first seen past each position."""

    def test_a_day_of_scrapes(self) -> None:
        """Memory stays bounded, and a lag is never too large and at most 2 % too small, however old it is."""
        history = WalHistory()
        day = 86_400
        for second in range(day):
            history.saw("pg-1", float(second), float(second))
            assert len(history._positions) <= 2_048
        for replayed in range(-1, day - 1, 97):
            true = day - (replayed + 1)
            assert 0.98 * true <= history.lag(float(replayed), float(day)) <= true

    def test_a_position_is_noted_once(self) -> None:
        """An idle primary adds nothing, and the first time counts."""
        history = WalHistory()
        for second in range(5_000):
            history.saw("pg-1", 7.0, float(second))
        assert history.lag(6.0, 5_000.0) == 5_000.0
        assert len(history._positions) == 1
