"""
What only a look at all nodes together can tell: how many primaries there are, and how far each standby is behind.

A pure function of the samples that one scrape took, and of where the primary's WAL stood at earlier ones.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from observability.metrics import Batch, Metric, Sample
from observability.probes.postgres.replication import WAL_POSITION
from observability.probes.postgres.server import ROLE as POSTGRES_ROLE
from observability.probes.redis.replication import OFFSET
from observability.probes.redis.replication import ROLE as REDIS_ROLE

TARGETS = Metric(
    name="ha.cluster.targets",
    kind="gauge",
    unit="{server}",
    help="Servers of the cluster that the exporter is configured to watch, whether they answer or not.",
    labels=("system",),
)
PRIMARIES = Metric(
    name="ha.postgres.cluster.primaries",
    kind="gauge",
    unit="{server}",
    help="PostgreSQL servers that answered this scrape as primary; 1 is right, 2 is split brain, 0 means that none was seen.",
)
MASTERS = Metric(
    name="ha.redis.cluster.masters",
    kind="gauge",
    unit="{server}",
    help="Redis servers that answered this scrape as master; 0 means that none was seen.",
)
BACKLOG = Metric(
    name="ha.postgres.replication.backlog",
    kind="gauge",
    unit="By",
    help="WAL that the primary has written and this standby has not replayed; absent unless both answered and there is one primary.",
)
LAG = Metric(
    name="ha.postgres.replication.lag",
    kind="gauge",
    unit="s",
    help="How long the exporter has seen the primary be ahead of what this standby has replayed; 0 when it is not, "
    "also on an idle primary; absent unless both answered and there is one primary.",
)
REDIS_BACKLOG = Metric(
    name="ha.redis.replication.backlog",
    kind="gauge",
    unit="By",
    help="Bytes of the replication stream that the master has produced and this replica has not processed; "
    "absent unless both answered and there is one master.",
)

METRICS = (TARGETS, PRIMARIES, MASTERS, BACKLOG, LAG, REDIS_BACKLOG)

_HISTORY_ENTRIES = 2_048
_HISTORY_ERROR = 0.02


class Member(NamedTuple):
    """One target's part in a scrape: its samples are empty when it did not answer."""

    cluster: str
    server: str
    system: str
    attributes: tuple[tuple[str, str], ...]
    samples: Sequence[Sample]

    def value(self, metric: Metric, *labels: str) -> float | None:
        """The value of one of its samples, or None where it was not taken."""
        for sample in self.samples:
            if sample.metric is metric and sample.labels == labels and isinstance(sample.value, int | float):
                return sample.value
        return None


class WalHistory:
    """
    When the primary's WAL was first seen past each position, so that bytes behind become time behind.

    Bounded: when it is full, entries go whose absence makes the lag that they give at most 2 % too small. The older the
    entries, the fewer are needed; a year of one scrape a second leaves some 1,700.
    """

    def __init__(self) -> None:
        self._primary: str | None = None
        self._positions: list[float] = []
        self._times: list[float] = []

    def saw(self, primary: str, position: float, now: float) -> None:
        """Note where the primary stands; another primary, or one whose WAL began anew, begins another history."""
        if primary != self._primary or (self._positions and position < self._positions[-1]):
            self._primary, self._positions, self._times = primary, [], []
        if not self._positions or position > self._positions[-1]:
            self._positions.append(position)
            self._times.append(now)
        if len(self._positions) > _HISTORY_ENTRIES:
            self._thin(now)

    def lag(self, replayed: float, now: float) -> float:
        """Seconds since the primary was first seen past `replayed`; 0 when it is not past it."""
        index = bisect_right(self._positions, replayed)
        return now - self._times[index] if index < len(self._times) else 0.0

    def _thin(self, now: float) -> None:
        kept = [0]
        for index in range(1, len(self._times) - 1):
            after = self._times[index + 1]
            if after - self._times[kept[-1]] > _HISTORY_ERROR * (now - after):
                kept.append(index)
        kept.append(len(self._times) - 1)
        self._positions = [self._positions[index] for index in kept]
        self._times = [self._times[index] for index in kept]


def compare(members: Sequence[Member], histories: dict[str, WalHistory], now: float) -> Iterator[Batch]:
    """
    The samples of each cluster, and those of its standbys against its primary.

    `histories` is kept by the caller from scrape to scrape; `now` is monotonic, in seconds.
    """
    clusters: dict[str, list[Member]] = {}
    for member in members:
        clusters.setdefault(member.cluster, []).append(member)
    for cluster, inside in clusters.items():
        yield Batch((("cluster", cluster),), list(_counts(inside)))
        yield from _postgres_lag(inside, histories.setdefault(cluster, WalHistory()), now)
        yield from _redis_lag(inside)


def _counts(members: Sequence[Member]) -> Iterator[Sample]:
    systems: dict[str, int] = {}
    for member in members:
        systems[member.system] = systems.get(member.system, 0) + 1
    for system, count in sorted(systems.items()):
        yield TARGETS.sample(count, system)
    if "postgres" in systems:
        yield PRIMARIES.sample(len(_holding(members, POSTGRES_ROLE, "primary")))
    if "redis" in systems:
        yield MASTERS.sample(len(_holding(members, REDIS_ROLE, "master")))


def _holding(members: Iterable[Member], role: Metric, name: str) -> list[Member]:
    return [member for member in members if member.value(role, name) == 1]


def _postgres_lag(members: Sequence[Member], history: WalHistory, now: float) -> Iterator[Batch]:
    primaries = _holding(members, POSTGRES_ROLE, "primary")
    flushed = primaries[0].value(WAL_POSITION, "flushed") if len(primaries) == 1 else None
    if flushed is None:
        return
    history.saw(primaries[0].server, flushed, now)
    for standby in _holding(members, POSTGRES_ROLE, "standby"):
        replayed = standby.value(WAL_POSITION, "replayed")
        if replayed is not None:
            # The standby may have been read a moment after the primary, and so be ahead of what was seen there.
            samples = [BACKLOG.sample(max(0.0, flushed - replayed)), LAG.sample(history.lag(replayed, now))]
            yield Batch(standby.attributes, samples)


def _redis_lag(members: Sequence[Member]) -> Iterator[Batch]:
    masters = _holding(members, REDIS_ROLE, "master")
    produced = masters[0].value(OFFSET) if len(masters) == 1 else None
    if produced is None:
        return
    for replica in _holding(members, REDIS_ROLE, "replica"):
        processed = replica.value(OFFSET)
        if processed is not None:
            yield Batch(replica.attributes, [REDIS_BACKLOG.sample(max(0.0, produced - processed))])
