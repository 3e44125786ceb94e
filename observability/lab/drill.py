"""The drill of `lab up --once`: the primary is killed, and everything that must follow is awaited and timed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from observability.alerts.postgres import NO_PRIMARY
from observability.errors import FailoverError
from observability.failover import words
from observability.failover.journal import Incident, Journal
from observability.failover.model import Promote
from observability.failover.signals import ALERTS as WEBHOOK_ALERTS
from observability.lab.applications import journal_url, load_report
from observability.lab.faults import find_fault
from observability.lab.load import Account
from observability.lab.monitoring import INTERVAL_SECONDS
from observability.lab.prometheus import Prometheus
from observability.lab.report import Finding
from observability.lab.site import CLUSTER
from observability.lab.stack import Stack
from observability.probes.cluster import PRIMARIES
from observability.scrape import UP

_POLL_SECONDS = 0.1

Look = Callable[[float], str | None]
"""Gets the time of the fault; gives what is seen, or None while nothing is."""


class Step(NamedTuple):
    """What must be seen after the fault, and within which time."""

    who: str
    expected: str
    within_seconds: float
    look: Look


def kill_primary(stack: Stack, prometheus: Prometheus) -> Iterator[Finding]:
    """Kill the primary and give each finding as it comes; those who do not see what they should say so."""
    writes_before = _failed_writes(stack)
    find_fault("kill-primary").inject(stack)
    fault_at = time.time()
    for step in _steps(stack, prometheus, writes_before):
        yield _await(step, fault_at)


def _steps(stack: Stack, prometheus: Prometheus, writes_before: int) -> tuple[Step, ...]:
    steps = (
        Step("prometheus", "pg-1 is down, within two scrapes", 2 * INTERVAL_SECONDS, _down(prometheus)),
        Step("load", "writes fail", 10, lambda _: _failing(stack, writes_before)),
        Step("prometheus", f"{NO_PRIMARY.name} fires", 15, lambda _: _fires(prometheus)),
        Step("controller", "the webhook has opened an incident", 20, lambda _: _arrived(prometheus)),
        Step("journal", "what it saw, and that it would promote pg-2", 40, lambda _: _decided(stack)),
    )
    with_webhook = "alertmanager" not in stack.missing
    return steps if with_webhook else steps[:3]


def _await(step: Step, fault_at: float) -> Finding:
    # A grace for the look itself: what it finds carries its own time where that matters.
    end = fault_at + step.within_seconds + INTERVAL_SECONDS
    while (seen := step.look(fault_at)) is None and time.time() < end:
        time.sleep(_POLL_SECONDS)
    after = f"{time.time() - fault_at:.1f} s after the fault"
    if seen is None:
        return Finding(step.who, step.expected, "", f"not seen {after}")
    return Finding(step.who, step.expected, f"{after}: {seen}")


def _down(prometheus: Prometheus) -> Look:
    up = f'{UP.prometheus_name}{{cluster="{CLUSTER}",server="pg-1"}}'
    primaries = f'{PRIMARIES.prometheus_name}{{cluster="{CLUSTER}"}}'

    def look(fault_at: float) -> str | None:
        scraped = prometheus.query(f"timestamp({up}) and {up} == 0")
        none_left = prometheus.query(f"{primaries} == 0")
        if not scraped or not none_left or scraped[0].value - fault_at > 2 * INTERVAL_SECONDS:
            return None
        return f"up 0, primaries 0, scraped {scraped[0].value - fault_at:.1f} s after it"

    return look


def _fires(prometheus: Prometheus) -> str | None:
    for alert in prometheus.alerts():
        if alert["labels"]["alertname"] == NO_PRIMARY.name and alert["state"] == "firing":
            return str(alert["annotations"]["summary"])
    return None


def _arrived(prometheus: Prometheus) -> str | None:
    opened = prometheus.query(f'{WEBHOOK_ALERTS.prometheus_name}{{outcome="opened"}} >= 1')
    return f"{opened[0].value:.0f} opened" if opened else None


def _decided(stack: Stack) -> str | None:
    incident, saw = asyncio.run(_latest_incident(journal_url(stack.site)))
    if incident is None or not isinstance(incident.decision, Promote) or incident.decision.candidate != "pg-2":
        return None
    return "\n".join([*saw, words.decision(incident.decision)])


async def _latest_incident(url: str) -> tuple[Incident | None, list[str]]:
    """The latest incident and the last observation of it, in words."""
    try:
        journal = await Journal.open(url, create=False)
    except FailoverError:
        return None, []
    try:
        incidents = await journal.incidents(limit=1)
        if not incidents:
            return None, []
        observations = [entry for entry in await journal.entries(incidents[0].id) if entry.kind == "observation"]
        return incidents[0], list(words.observation(observations[-1].observation)) if observations else []
    finally:
        await journal.close()


def _failed_writes(stack: Stack) -> int:
    account = Account.read(load_report(stack.site))
    return account.failed_writes if account else 0


def _failing(stack: Stack, before: int) -> str | None:
    failed = _failed_writes(stack) - before
    return f"{failed} failed" if failed > 0 else None
