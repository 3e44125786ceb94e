"""
What the controller was told, saw and decided, on disk before it is acknowledged or acted on.

An alert is known by (fingerprint, startsAt): however often and from however many senders it arrives, it opens one
incident.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, and_, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from observability.failover.model import Alert, LastPrimary, Observation, Plan
from observability.failover.schema import ENTRIES, INCIDENTS, PRIMARIES, SCHEMA
from observability.failover.store import Store

_ALERT = TypeAdapter(Alert)
_OBSERVATION = TypeAdapter(Observation)
_PLAN: TypeAdapter[Plan] = TypeAdapter(Plan)
_LAST_PRIMARY = TypeAdapter(LastPrimary)
_MOST_UNFINISHED = 1000


class Kind(StrEnum):
    """What an entry tells: the first and the fourth hold the alert as it came, the last nothing more."""

    OPENED = "opened"
    OBSERVATION = "observation"
    DECISION = "decision"
    RESOLVED = "resolved"
    CLOSED = "closed"


_ENDS = (Kind.RESOLVED.value, Kind.CLOSED.value)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal; the body is the JSON of what its kind says."""

    id: int
    incident_id: int
    at: float
    kind: Kind
    body: str

    @property
    def observation(self) -> Observation:
        """What was seen; only of an observation."""
        return _OBSERVATION.validate_json(self.body)

    @property
    def decision(self) -> Plan:
        """What was decided; only of a decision."""
        return _PLAN.validate_json(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """An alert that asked for something, and where it stands; `ended` is None while it is open."""

    id: int
    opened_at: float
    alert: Alert
    decision: Plan | None
    ended: Kind | None

    @property
    def state(self) -> str:
        """Open, resolved (by its alert) or closed (nothing more could come of it)."""
        return self.ended or "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a webhook changed: ids of incidents opened and resolved, and how many alerts said nothing new."""

    opened: tuple[int, ...]
    resolved: tuple[int, ...]
    repeated: int


class Journal:
    """The journal of one controller. Its methods raise `FailoverError` when the database refuses or is away."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @classmethod
    async def open(cls, url: str, *, create: bool = True) -> Self:
        """
        The journal at a SQLAlchemy URL; its tables are made unless `create` is false.

        Raises:
            FailoverError: when there is none, it cannot be reached, or is of another version.

        """
        return cls(await Store.open(url, create=create))

    async def close(self) -> None:
        """Let go of the database."""
        await self._store.close()

    async def ping(self) -> None:
        """Fail when the journal cannot be read."""
        async with self._store.reading() as connection:
            await connection.execute(select(SCHEMA.c.version))

    async def record(self, alerts: Sequence[Alert], *, at: float) -> Recorded:
        """Write down what a webhook says, all or nothing; on disk when this returns."""
        opened: list[int] = []
        resolved: list[int] = []
        async with self._store.writing() as connection:
            for alert in alerts:
                if alert.firing:
                    opened += await self._open(connection, alert, at)
                else:
                    resolved += await self._resolve(connection, alert, at)
        repeated = len(alerts) - len(opened) - len(resolved)
        return Recorded(opened=tuple(opened), resolved=tuple(resolved), repeated=repeated)

    async def decide(self, incident: int, seen: Observation, decision: Plan, *, at: float) -> None:
        """Write down a decision with all that it was made from."""
        async with self._store.writing() as connection:
            await self._add(connection, incident, Kind.OBSERVATION, _OBSERVATION.dump_json(seen), seen.at)
            await self._add(connection, incident, Kind.DECISION, _PLAN.dump_json(decision), at)

    async def end(self, incident: int, *, at: float) -> None:
        """Close an incident of which nothing more can come."""
        async with self._store.writing() as connection:
            await self._add(connection, incident, Kind.CLOSED, b"{}", at)

    async def remember(self, cluster: str, primary: LastPrimary) -> None:
        """Keep over a restart what the watch knows of a primary."""
        body = _LAST_PRIMARY.dump_json(primary).decode()
        row = self._store.insert(PRIMARIES).values(cluster=cluster, body=body)
        async with self._store.writing() as connection:
            await connection.execute(row.on_conflict_do_update(index_elements=["cluster"], set_={"body": body}))

    async def recall(self) -> dict[str, LastPrimary]:
        """What the watch knew, by cluster."""
        async with self._store.reading() as connection:
            rows = (await connection.execute(select(PRIMARIES))).all()
        return {row.cluster: _LAST_PRIMARY.validate_json(row.body) for row in rows}

    async def unfinished(self) -> list[Incident]:
        """Incidents that neither resolved nor were closed, oldest first."""
        ended = exists().where(and_(ENTRIES.c.incident_id == INCIDENTS.c.id, ENTRIES.c.kind.in_(_ENDS)))
        return (await self._incidents(~ended, limit=_MOST_UNFINISHED))[::-1]

    async def incidents(self, *, limit: int = 100) -> list[Incident]:
        """The latest incidents, newest first."""
        return await self._incidents(None, limit=limit)

    async def incident(self, number: int) -> Incident | None:
        """One incident, or None if there is none of this number."""
        return next(iter(await self._incidents(INCIDENTS.c.id == number, limit=1)), None)

    async def entries(self, incident: int) -> list[Entry]:
        """All entries of an incident, in their order."""
        query = select(ENTRIES).where(ENTRIES.c.incident_id == incident).order_by(ENTRIES.c.id)
        async with self._store.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [Entry(row.id, row.incident_id, row.at, Kind(row.kind), row.body) for row in rows]

    async def _open(self, connection: AsyncConnection, alert: Alert, at: float) -> list[int]:
        # Asked first, so that repeats do not use up numbers; the constraint decides between two at the same instant.
        if await _find(connection, alert):
            return []
        body = _ALERT.dump_json(alert).decode()
        row = {"fingerprint": alert.fingerprint, "starts_at": alert.starts_at, "cluster": alert.cluster}
        statement = self._store.insert(INCIDENTS).values(**row, opened_at=at, alert=body)
        result = await connection.execute(statement.on_conflict_do_nothing().returning(INCIDENTS.c.id))
        found: list[int] = list(result.scalars())
        for incident in found:
            await self._add(connection, incident, Kind.OPENED, body.encode(), at)
        return found

    async def _resolve(self, connection: AsyncConnection, alert: Alert, at: float) -> list[int]:
        body = _ALERT.dump_json(alert)
        return [
            incident
            for incident in await _find(connection, alert)
            if await self._add(connection, incident, Kind.RESOLVED, body, at)
        ]

    async def _add(self, connection: AsyncConnection, incident: int, kind: Kind, body: bytes, at: float) -> bool:
        """Append an entry; False when it would end the incident a second time."""
        row = {"incident_id": incident, "at": at, "kind": kind.value, "body": body.decode()}
        statement = self._store.insert(ENTRIES).values(**row).on_conflict_do_nothing().returning(ENTRIES.c.id)
        return (await connection.execute(statement)).scalar() is not None

    async def _incidents(self, where: ColumnElement[bool] | None, *, limit: int) -> list[Incident]:
        """The newest of those that match, each with its last decision and its end."""
        decision = _latest(ENTRIES.c.kind == Kind.DECISION.value, ENTRIES.c.body)
        ended = _latest(ENTRIES.c.kind.in_(_ENDS), ENTRIES.c.kind)
        query = select(INCIDENTS, decision.label("decision"), ended.label("ended"))
        query = query if where is None else query.where(where)
        async with self._store.reading() as connection:
            rows = (await connection.execute(query.order_by(INCIDENTS.c.id.desc()).limit(limit))).all()
        return [
            Incident(
                id=row.id,
                opened_at=row.opened_at,
                alert=_ALERT.validate_json(row.alert),
                decision=_PLAN.validate_json(row.decision) if row.decision else None,
                ended=Kind(row.ended) if row.ended else None,
            )
            for row in rows
        ]


async def _find(connection: AsyncConnection, alert: Alert) -> list[int]:
    """The incident of an alert, if there is one."""
    same = and_(INCIDENTS.c.fingerprint == alert.fingerprint, INCIDENTS.c.starts_at == alert.starts_at)
    return list((await connection.execute(select(INCIDENTS.c.id).where(same))).scalars())


def _latest(which: ColumnElement[bool], column: Any) -> Any:
    of_incident = and_(ENTRIES.c.incident_id == INCIDENTS.c.id, which)
    return select(column).where(of_incident).order_by(ENTRIES.c.id.desc()).limit(1).scalar_subquery()
