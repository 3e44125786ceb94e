"""
A steady load on the demo servers: reads, writes and sessions at a bounded rate, with an account of what was answered.

`python -m observability.lab.load CONFIG` runs it; its account is a small JSON file that is replaced every second.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from pathlib import Path

import httpx

_TIMEOUT_SECONDS = 5
_MOST_IN_FLIGHT = 60
_SESSIONS = 20
_MIX = ("read", "write", "session", "read", "write")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadConfig:
    """Where to send requests, how many a second, and the file for the account."""

    urls: Sequence[str]
    rate: float
    report: str


@dataclass(slots=True, kw_only=True)
class Account:
    """What was sent and what came of it; `skipped` are requests not sent because too many were unanswered."""

    answered: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_MIX, 0))
    failed: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_MIX, 0))
    skipped: int = 0
    last_failure: str | None = None
    last_failure_at: float | None = None
    updated_at: float = 0.0

    @property
    def acknowledged_writes(self) -> int:
        """Writes that a server has confirmed."""
        return self.answered["write"]

    @property
    def failed_writes(self) -> int:
        """Writes that were refused or got no answer; such a write may still have been done."""
        return self.failed["write"]

    def save(self, path: Path) -> None:
        """Replace the file in one step."""
        self.updated_at = time.time()
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(self)))
        new.replace(path)

    @classmethod
    def read(cls, path: Path) -> Account | None:
        """The account in a file; None while there is none."""
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError:
            return None


class Load:
    """Sends requests in turn to each URL, without waiting for the answer to one before sending the next."""

    def __init__(self, config: LoadConfig, client: httpx.AsyncClient) -> None:
        self.account = Account()
        self._config = config
        self._client = client
        self._in_flight: set[asyncio.Task[None]] = set()

    async def run(self, requests: int | None = None) -> None:
        """Send for ever, or so many requests, and save the account once a second."""
        began = time.monotonic()
        plan = islice(enumerate(zip(cycle(_MIX), cycle(self._config.urls), strict=False)), requests)
        for number, (kind, url) in plan:
            await asyncio.sleep(began + number / self._config.rate - time.monotonic())
            self._send(kind, url, number)
            if number % max(1, round(self._config.rate)) == 0:
                await asyncio.to_thread(self.account.save, Path(self._config.report))
        await asyncio.gather(*self._in_flight)
        await asyncio.to_thread(self.account.save, Path(self._config.report))

    def _send(self, kind: str, url: str, number: int) -> None:
        if len(self._in_flight) >= _MOST_IN_FLIGHT:
            self.account.skipped += 1
            return
        task = asyncio.create_task(self._ask(kind, url, number))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)

    async def _ask(self, kind: str, url: str, number: int) -> None:
        try:
            response = await self._client.send(_request(kind, url, number))
        except httpx.TransportError as error:
            self._count_failure(kind, type(error).__name__)
            return
        if response.is_success:
            self.account.answered[kind] += 1
        else:
            self._count_failure(kind, f"status {response.status_code}")

    def _count_failure(self, kind: str, why: str) -> None:
        self.account.failed[kind] += 1
        self.account.last_failure = f"{kind}: {why}"
        self.account.last_failure_at = time.time()


def _request(kind: str, url: str, number: int) -> httpx.Request:
    if kind == "write":
        return httpx.Request("POST", f"{url}/items", json={"name": f"item {number}"})
    path = "items" if kind == "read" else f"sessions/{number % _SESSIONS}"
    return httpx.Request("GET", f"{url}/{path}")


async def main(config: LoadConfig) -> None:
    """Send until told to end."""
    async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False, verify=False) as client:  # noqa: S501  # loopback
        await Load(config, client).run()


if __name__ == "__main__":
    asyncio.run(main(LoadConfig(**json.loads(Path(sys.argv[1]).read_text()))))
