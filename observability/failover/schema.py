"""
The tables of the journal, for SQLite and PostgreSQL.

`incidents` and `entries` only ever grow: the database itself refuses to change or delete a row of theirs. What an
incident is now follows from its entries.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    DDL,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    event,
    text,
)

VERSION = 1
"""Of the tables below; a journal of another version is refused, never guessed at."""

METADATA = MetaData()

SCHEMA = Table("ha_failover_schema", METADATA, Column("version", Integer, primary_key=True, autoincrement=False))

INCIDENTS = Table(
    "ha_failover_incidents",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("starts_at", Double, nullable=False),
    Column("cluster", Text, nullable=False),
    Column("opened_at", Double, nullable=False),
    Column("alert", Text, nullable=False),
    UniqueConstraint("fingerprint", "starts_at"),
)

ENTRIES = Table(
    "ha_failover_entries",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("incident_id", Integer, ForeignKey(INCIDENTS.c.id), nullable=False),
    Column("at", Double, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", Text, nullable=False),
    Index("ha_failover_entries_of_incident", "incident_id", "kind"),
)

_END = text("kind IN ('resolved', 'closed')")
Index("ha_failover_one_end", ENTRIES.c.incident_id, unique=True, sqlite_where=_END, postgresql_where=_END)

PRIMARIES = Table(
    "ha_failover_primaries",
    METADATA,
    Column("cluster", Text, primary_key=True),
    Column("body", Text, nullable=False),
)
"""What the watch remembers, one row a cluster: the only table whose rows change."""


def _only_grows(table: Table) -> None:
    """Let the database refuse to change or delete rows of `table`."""
    for change in ("UPDATE", "DELETE"):
        head = f"CREATE TRIGGER {table.name}_{change} BEFORE {change} ON {table.name}"
        refusals = {
            "sqlite": "BEGIN SELECT RAISE(ABORT, 'the journal only grows'); END",
            "postgresql": "FOR EACH ROW EXECUTE FUNCTION ha_failover_refuse()",
        }
        for dialect, refusal in refusals.items():
            _at(table, "after_create", f"{head} {refusal}", dialect)


def _at(subject: Table | MetaData, when: str, statement: str, dialect: str) -> None:
    ddl: Any = DDL  # untyped in SQLAlchemy
    event.listen(subject, when, ddl(statement).execute_if(dialect=dialect))


_at(
    METADATA,
    "before_create",
    "CREATE OR REPLACE FUNCTION ha_failover_refuse() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'the journal only grows'; END $$",
    "postgresql",
)
_only_grows(INCIDENTS)
_only_grows(ENTRIES)


def prepare_sqlite(connection: Any, _: Any) -> None:
    """Each SQLite connection: what is committed is on disk, and a reader never stops the writer."""
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 5000", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
