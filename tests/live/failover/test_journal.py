"""The journal on real databases: what it acknowledged is there, once, and stays as it was."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from observability.errors import FailoverError
from observability.failover.journal import Incident, Journal, Kind, Recorded
from observability.failover.model import Hold, HoldReason
from observability.failover.policy import plan
from tests.live.failover.conftest import no_primary
from tests.unit.failover.scenes import LAST, RULES, gone, seen, standby

ALERT = no_primary(starts_at=1777629600.25)


async def test_from_alert_to_end(journal_url: str) -> None:
    """An incident is what its entries say: opened, seen, decided, resolved; each as it was written."""
    journal = await Journal.open(journal_url)
    observation = seen(gone(), standby(heard_seconds=7.25), alert=ALERT)
    decision = plan(observation, RULES)
    assert await journal.record([ALERT], at=1.5) == Recorded(opened=(1,), resolved=(), repeated=0)
    opened = Incident(id=1, opened_at=1.5, alert=ALERT, decision=None, ended=None)
    assert await journal.unfinished() == [opened]
    await journal.decide(1, observation, Hold(HoldReason.PRIMARY_SEEN, "pg-1 answers as primary"), at=2.5)
    await journal.decide(1, observation, decision, at=3.5)
    assert await journal.incident(1) == Incident(id=1, opened_at=1.5, alert=ALERT, decision=decision, ended=None)
    resolved = no_primary(starts_at=ALERT.starts_at, firing=False)
    assert await journal.record([resolved], at=4.5) == Recorded(opened=(), resolved=(1,), repeated=0)
    assert await journal.unfinished() == []
    assert await journal.incidents() == [
        Incident(id=1, opened_at=1.5, alert=ALERT, decision=decision, ended=Kind.RESOLVED)
    ]
    entries = await journal.entries(1)
    assert [(each.kind, each.at) for each in entries] == [
        (Kind.OPENED, 1.5),
        (Kind.OBSERVATION, observation.at),
        (Kind.DECISION, 2.5),
        (Kind.OBSERVATION, observation.at),
        (Kind.DECISION, 3.5),
        (Kind.RESOLVED, 4.5),
    ]
    assert (entries[3].observation, entries[4].decision) == (observation, decision)
    await journal.close()


async def test_many_at_once_open_one_incident(journal_url: str) -> None:
    """The same alert from several senders at the same instant, through two processes' worth of journals, counts once."""
    journals = [await Journal.open(journal_url), await Journal.open(journal_url)]
    outcomes = await asyncio.gather(*(journals[i % 2].record([ALERT], at=float(i)) for i in range(20)))
    assert sorted(outcome.opened for outcome in outcomes) == [()] * 19 + [(1,)]
    assert sum(outcome.repeated for outcome in outcomes) == 19
    assert [entry.kind for entry in await journals[0].entries(1)] == [Kind.OPENED]
    ends = await asyncio.gather(
        *(journals[i % 2].record([no_primary(starts_at=ALERT.starts_at, firing=False)], at=9.0) for i in range(8)),
        journals[0].end(1, at=9.0),
    )
    assert sum(len(end.resolved) for end in ends if end) <= 1
    assert len(await journals[0].entries(1)) == 2
    for journal in journals:
        await journal.close()


async def test_next_incident_of_the_same_alert_is_another(journal: Journal) -> None:
    """The fingerprint repeats; with the time of firing it does not. Repeats use up no numbers."""
    later = no_primary(starts_at=ALERT.starts_at + 60)
    assert await journal.record([ALERT, ALERT], at=1) == Recorded(opened=(1,), resolved=(), repeated=1)
    assert await journal.record([ALERT], at=2) == Recorded(opened=(), resolved=(), repeated=1)
    assert await journal.record([ALERT, later], at=3) == Recorded(opened=(2,), resolved=(), repeated=1)


async def test_resolved_without_an_incident_says_nothing(journal: Journal) -> None:
    """What never opened cannot be resolved."""
    assert await journal.record([no_primary(firing=False)], at=1) == Recorded(opened=(), resolved=(), repeated=1)


async def test_memory_of_a_primary_outlives_the_process(journal_url: str) -> None:
    """The watch's last word on each cluster is what the next process knows."""
    journal = await Journal.open(journal_url)
    assert await journal.recall() == {}
    await journal.remember("demo", seen(last_primary=LAST).last_primary or LAST)
    await journal.close()
    journal = await Journal.open(journal_url)
    assert await journal.recall() == {"demo": LAST}
    await journal.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ha_failover_entries SET at = 0",
        "DELETE FROM ha_failover_entries",
        "UPDATE ha_failover_incidents SET cluster = 'x'",
        "DELETE FROM ha_failover_incidents",
    ],
)
async def test_past_cannot_be_changed(journal_url: str, statement: str) -> None:
    """The database itself refuses to change or delete what was written."""
    journal = await Journal.open(journal_url)
    await journal.record([ALERT], at=1)
    engine = create_async_engine(journal_url)
    with pytest.raises(Exception, match="the journal only grows"):
        async with engine.begin() as connection:
            await connection.execute(text(statement))
    await engine.dispose()
    assert await journal.incident(1) == Incident(id=1, opened_at=1, alert=ALERT, decision=None, ended=None)
    await journal.close()


async def test_journal_of_another_version_is_refused(journal_url: str) -> None:
    """Tables that another program wrote are never guessed at, and the message holds no password."""
    await (await Journal.open(journal_url)).close()
    engine = create_async_engine(journal_url)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE ha_failover_schema SET version = 99"))
    await engine.dispose()
    with pytest.raises(FailoverError, match="has tables of version 99, this program knows 1") as refused:
        await Journal.open(journal_url)
    assert (engine.url.password or "no password") not in str(refused.value)


WRONG = {
    "": "state_url is not a SQLAlchemy URL of an asyncio driver that is installed",
    "journal.db": "state_url is not a SQLAlchemy URL of an asyncio driver that is installed",
    "sqlite:///x.db": "state_url is not a SQLAlchemy URL of an asyncio driver that is installed",
    "mysql+aiomysql://u:hidden@h/d": "state_url is not a SQLAlchemy URL of an asyncio driver that is installed",
    "sqlite+aiosqlite:////nowhere/at/all.db": "unable to open database file",
    "sqlite+aiosqlite://": "a journal in memory is none",
    "postgresql+asyncpg://u:hidden@127.0.0.1:1/d": "cannot be written",
}


@pytest.mark.parametrize("url", WRONG, ids=[url or "nothing" for url in WRONG])
async def test_wrong_place_is_named_without_its_password(url: str) -> None:
    """A URL that leads nowhere is an error in words, and no password is in them."""
    with pytest.raises(FailoverError, match=WRONG[url]) as refused:
        await Journal.open(url)
    assert "hidden" not in str(refused.value)


async def test_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    """A file that is no database is refused and stays as it is."""
    path = tmp_path / "journal.db"
    await asyncio.to_thread(path.write_text, "dear diary " * 999)
    with pytest.raises(FailoverError, match="file is not a database"):
        await Journal.open(f"sqlite+aiosqlite:///{path}")
    assert await asyncio.to_thread(path.read_text) == "dear diary " * 999


async def test_reading_makes_no_journal(tmp_path: Path) -> None:
    """Whoever only reads is told that there is nothing, and leaves nothing behind."""
    with pytest.raises(FailoverError, match="there is no journal at"):
        await Journal.open(f"sqlite+aiosqlite:///{tmp_path}/journal.db", create=False)
    await asyncio.to_thread(tmp_path.rmdir)  # it is empty, or this fails


WRITER = """
import asyncio, sys
from dataclasses import replace
from observability.failover.journal import Journal
from tests.live.failover.conftest import no_primary

async def main():
    journal = await Journal.open(sys.argv[1])
    for number in range(1_000_000):
        await journal.record([no_primary(f"f{number}", starts_at=1.0)], at=2.0)
        print(number, flush=True)

asyncio.run(main())
"""


def killed_after(acknowledged: int, url: str) -> int:
    """Let a process write to a journal, kill it once it has acknowledged so many; gives the last that it did."""
    with subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        said = [int(writer.stdout.readline()) for _ in range(acknowledged)]
        os.kill(writer.pid, signal.SIGKILL)
        return max(said + [int(word) for word in writer.stdout.read().split()])


@pytest.mark.parametrize("acknowledged", [1, 7, 40])
async def test_killed_in_the_middle(tmp_path: Path, acknowledged: int) -> None:
    """After kill -9 all that was acknowledged is there, whole, and at most the one that was being written beside it."""
    url = f"sqlite+aiosqlite:///{tmp_path}/journal.db"
    last = killed_after(acknowledged, url)
    journal = await Journal.open(url)
    incidents = await journal.unfinished()
    fingerprints = [each.alert.fingerprint for each in incidents]
    acknowledged_ones = [f"f{number}" for number in range(last + 1)]
    assert fingerprints in (acknowledged_ones, [*acknowledged_ones, f"f{last + 1}"])
    for incident in incidents:
        assert [entry.kind for entry in await journal.entries(incident.id)] == [Kind.OPENED]
    await journal.close()
    with sqlite3.connect(tmp_path / "journal.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()
