"""The controller's web application over a real server on loopback."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from observability.connect import Secret, Target
from observability.failover.admission import Admission
from observability.failover.controller import Controller
from observability.failover.journal import Journal
from observability.failover.model import Rules
from observability.failover.web import application
from observability.failover.webhook import MAX_BYTES
from tests.live.failover.conftest import decided, serving
from tests.unit.failover.test_webhook import alert, webhook

TOKEN = "correct-horse-battery-staple"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
RULES = Rules(look_timeout_seconds=0.5, confirm_interval_seconds=0)


@dataclass(frozen=True, slots=True)
class Served:
    """The application, a client with the token, and what is behind it."""

    client: httpx.AsyncClient
    url: str
    journal: Journal


@pytest.fixture
async def served(journal: Journal) -> AsyncIterator[Served]:
    """A controller of the cluster `demo` that reaches neither of its servers, with narrow limits."""
    nowhere = [
        Target(name=name, system="postgres", cluster="demo", host="127.0.0.1", port=1) for name in ("pg-1", "pg-2")
    ]
    controller = Controller(nowhere, journal, rules=RULES)
    admission = Admission(Secret(TOKEN), per_second=0.001, burst=30, body_seconds=0.2)
    async with (
        serving(application(controller, admission)) as url,
        httpx.AsyncClient(base_url=url, headers=BEARER, timeout=10) as client,
    ):
        yield Served(client, url, journal)


async def post(served: Served, body: bytes, **options: Any) -> tuple[int, str]:
    """Post a webhook; gives status and text."""
    response = await served.client.post("/webhook/alertmanager", content=body, **options)
    return response.status_code, response.text


async def metrics(served: Served) -> dict[tuple[str, tuple[str, ...]], float]:
    """The values of the controller's metrics, by name and label values."""
    page = (await served.client.get("/metrics")).text
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


async def test_alert_is_on_disk_before_it_is_acknowledged(served: Served) -> None:
    """A right webhook gets 200 with what it changed; again, and it says that nothing is new."""
    now = datetime.now(UTC).isoformat()
    assert await post(served, webhook(alert(startsAt=now))) == (200, '{"opened":[1],"resolved":[],"repeated":0}')
    assert (await served.journal.entries(1))[0].kind == "opened"
    assert await post(served, webhook(alert(startsAt=now))) == (200, '{"opened":[],"resolved":[],"repeated":1}')
    resolved = webhook(alert(startsAt=now, status="resolved"))
    assert await post(served, resolved) == (200, '{"opened":[],"resolved":[1],"repeated":0}')


async def test_many_at_once_are_one_incident(served: Served) -> None:
    """Twenty copies of one webhook at the same time open one incident, and all are acknowledged."""
    answers = await asyncio.gather(*(post(served, webhook(alert())) for _ in range(20)))
    repeated = (200, '{"opened":[],"resolved":[],"repeated":1}')
    assert sorted(answers) == [(200, '{"opened":[1],"resolved":[],"repeated":0}')] + [repeated] * 19
    assert len(await served.journal.incidents()) == 1
    assert (await metrics(served))["ha_failover_webhook_alerts_total", ("repeated",)] == 19


NOT_LET_IN = {
    "no token": {},
    "a wrong one": {"Authorization": "Bearer wrong"},
    "a part of it": {"Authorization": f"Bearer {TOKEN[:-1]}"},
    "another scheme": {"Authorization": f"Digest {TOKEN}"},
}


@pytest.mark.parametrize("headers", NOT_LET_IN.values(), ids=NOT_LET_IN.keys())
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/webhook/alertmanager"),
        ("GET", "/"),
        ("GET", "/incidents/1"),
        ("GET", "/api/incidents"),
        ("GET", "/api/incidents/1"),
    ],
)
async def test_without_the_token_nothing_opens(served: Served, headers: dict[str, str], method: str, path: str) -> None:
    """Everything but health and metrics needs the token, and nothing of it is in the answer."""
    async with httpx.AsyncClient(base_url=served.url, headers=headers) as stranger:
        response = await stranger.request(method, path, content=webhook(alert()) if method == "POST" else None)
    assert (response.status_code, response.headers["www-authenticate"]) == (401, 'Basic realm="failover"')
    assert TOKEN[:-1] not in response.text
    assert await served.journal.incidents() == []


async def test_malformed_webhook_is_refused_with_its_problem(served: Served) -> None:
    """The sender learns what is wrong; it is counted and nothing is written."""
    status, said = await post(served, b'{"version":"3","alerts":[]}')
    assert (status, said) == (
        400,
        "not an Alertmanager webhook of version 4: version: Input should be '4'\n",
    )
    assert (await metrics(served))["ha_failover_webhook_requests_total", ("malformed",)] == 1
    assert await served.journal.incidents() == []


async def test_long_webhook_is_refused_unread(served: Served) -> None:
    """A body that is too long is refused by what it says of its length, and by its length if it says nothing."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(MAX_BYTES // 1024 + 2):
            yield b" " * 1024

    expected = (413, f"the body is longer than {MAX_BYTES} bytes: lower max_alerts\n")
    assert await post(served, b" " * (MAX_BYTES + 1)) == expected
    assert (await served.client.post("/webhook/alertmanager", content=pieces())).status_code == expected[0]
    assert (await metrics(served))["ha_failover_webhook_requests_total", ("too_large",)] == 2


async def test_slow_webhook_is_refused(served: Served) -> None:
    """A sender that does not finish is not waited for."""
    host, port = served.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /webhook/alertmanager HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 9"
    writer.write(f"{head}\r\n\r\n{{".encode())
    async with asyncio.timeout(10):
        answer = await reader.readuntil(b"0.2 s\n")
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert answer.endswith(b"the body did not arrive within 0.2 s\n")


async def test_flood_is_held_back(served: Served) -> None:
    """Beyond the burst a sender is told to come back later."""
    answers = [await post(served, webhook()) for _ in range(31)]
    assert {status for status, _ in answers[:30]} == {200}
    assert answers[30] == (429, "more than 0.001 webhooks a second: send them later\n")


async def test_webhook_that_cannot_be_written_is_not_acknowledged(served: Served, tmp_path: Path) -> None:
    """While the journal is broken Alertmanager gets a 5xx, which it repeats; and the controller is not ready."""
    database = sqlite3.connect(tmp_path / "journal.db")
    database.execute("ALTER TABLE ha_failover_incidents RENAME TO away")
    database.execute("ALTER TABLE ha_failover_schema RENAME TO away_too")
    database.commit()
    status, said = await post(served, webhook(alert()))
    assert (status, "cannot be written" in said, "no such table" in said) == (503, True, True)
    assert (await served.client.get("/-/ready")).status_code == 503
    assert (await served.client.get("/")).status_code == 503
    assert (await served.client.get("/-/healthy")).status_code == 200
    database.execute("ALTER TABLE away RENAME TO ha_failover_incidents")
    database.execute("ALTER TABLE away_too RENAME TO ha_failover_schema")
    database.commit()
    database.close()
    assert (await post(served, webhook(alert())))[0] == 200
    assert (await served.client.get("/-/ready")).text == "OK\n"


async def test_watchdog_is_consumed(served: Served) -> None:
    """The watchdog opens nothing; that it arrived is a time, and absent before."""
    assert "ha_failover_watchdog_timestamp_seconds" not in {name for name, _ in await metrics(served)}
    await post(served, webhook(alert(labels={"alertname": "Watchdog"})))
    values = await metrics(served)
    assert values["ha_failover_watchdog_timestamp_seconds", ()] > 1_700_000_000
    assert values["ha_failover_webhook_alerts_total", ("watchdog",)] == 1
    assert await served.journal.incidents() == []


async def test_alert_that_asks_nothing_opens_nothing(served: Served) -> None:
    """An alert without an action is counted and left; what Alertmanager cut off is counted too."""
    await post(served, webhook(alert(labels={"alertname": "X", "ha_action": "none"}), truncatedAlerts=3))
    values = await metrics(served)
    assert values["ha_failover_webhook_alerts_total", ("ignored",)] == 1
    assert values["ha_failover_webhook_truncated_total", ()] == 3
    assert await served.journal.incidents() == []


async def test_decision_is_told_to_programs(served: Served) -> None:
    """`/api/incidents` has the decision, `/api/incidents/ID` each entry with all of its inputs."""
    await post(served, webhook(alert()))
    incident = await decided(served.journal, lambda each: each.ended is not None)
    (told,) = (await served.client.get("/api/incidents")).json()["incidents"]
    assert told == {
        "id": 1,
        "state": "closed",
        "opened_at": incident.opened_at,
        "cluster": "demo",
        "alert": "PostgresNoPrimary",
        "decision": {"reason": "stale_alert", "detail": told["decision"]["detail"], "outcome": "hold"},
        "summary": f"hold (stale_alert): {told['decision']['detail']}",
    }
    detail = (await served.client.get("/api/incidents/1")).json()
    assert {name: detail[name] for name in told} == told
    assert [entry["kind"] for entry in detail["entries"]] == ["opened", "observation", "decision", "closed"]
    assert detail["entries"][1]["body"]["nodes"] == ["pg-1", "pg-2"]
    assert (await served.client.get("/api/incidents/2")).status_code == 404


async def test_decision_is_shown_to_people(served: Served) -> None:
    """The pages open with the token as password, show what was decided, and let no label become markup."""
    labels = {"alertname": "<script>x</script>", "cluster": "a&b", "ha_action": "failover", "why": "<b>"}
    await post(served, webhook(alert(labels=labels)))
    await decided(served.journal, lambda each: each.ended is not None)
    async with httpx.AsyncClient(base_url=served.url, auth=("operator", TOKEN)) as browser:
        overview, detail = await browser.get("/"), await browser.get("/incidents/1")
        assert (await browser.get("/incidents/7")).status_code == 404
    for page in (overview, detail):
        assert page.status_code == 200
        assert "&lt;script&gt;x&lt;/script&gt;" in page.text
        assert "<script" not in page.text
        assert "a&amp;b" in page.text
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        assert page.headers["cache-control"] == "no-store"
        assert "unknown_cluster" in page.text
    assert "<b>" not in detail.text


async def test_own_metrics_are_there_from_the_start(served: Served) -> None:
    """Counters begin at 0, so that a rate sees the first; the mode is a state set; nothing unknown is told."""
    values = await metrics(served)
    assert values["ha_failover_mode", ("observe",)] == 1
    assert values["ha_failover_mode", ("off",)] == 0
    assert values["ha_failover_decisions_total", ("demo", "promote", "ready")] == 0
    assert values["ha_failover_decisions_total", ("demo", "hold", "rpo")] == 0
    assert values["ha_failover_journal_entries_total", ("decision",)] == 0
    assert "ha_failover_primary_timestamp_seconds" not in {name for name, _ in values}


async def test_only_post_is_taken(served: Served) -> None:
    """A webhook is posted, and nothing else."""
    assert (await served.client.get("/webhook/alertmanager")).status_code == 405
    assert json.loads((await served.client.get("/api/incidents")).text) == {"incidents": []}


@pytest.fixture(autouse=True)
def no_secret_in_the_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever happened, the token is not in the log."""
    yield
    assert TOKEN not in caplog.text
