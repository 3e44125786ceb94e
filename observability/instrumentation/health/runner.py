"""Runs one check: never two at a time, never longer than its timeout, never more often than its result is old."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator
from time import monotonic, perf_counter
from typing import Any, Final, NamedTuple

from observability.instrumentation.health import metrics
from observability.instrumentation.health.check import HealthCheck
from observability.instrumentation.health.reasons import REFUTED, STILL_RUNNING, TIMEOUT, reason
from observability.instrumentation.health.threads import Errand
from observability.metrics import Sample

_LIVES: Final = 3
"""After so many times the time in which it should have been renewed, a result says nothing any more."""


class Result(NamedTuple):
    """How a check ended; `reason` is empty when it succeeded, and `error` is the class of what it raised."""

    reason: str
    error: str
    seconds: float
    ended: float

    @property
    def ok(self) -> bool:
        """Whether the dependency is well."""
        return not self.reason

    @property
    def age_seconds(self) -> float:
        """How long ago that was."""
        return max(0.0, monotonic() - self.ended)


class Runner:
    """The runs of one check, and its latest result."""

    def __init__(self, check: HealthCheck) -> None:
        self.check = check
        self.forget()

    def forget(self) -> None:
        """Start from nothing, as the child of a fork must."""
        self.latest: Result | None = None
        self._began = 0.0
        self._runs = 0
        self._failures = 0
        self._run: asyncio.Task[Result] | None = None
        self._work: asyncio.Task[Any] | None = None
        self._errand: Errand | None = None
        self._lock = threading.Lock()

    async def result(self) -> Result:
        """The latest result if it is young enough, else a new one."""
        latest = self.latest
        if latest and latest.age_seconds < self.check.ttl_seconds:
            return latest
        return await self.renew()

    async def renew(self) -> Result:
        """A new result; all who ask at the same time get the same."""
        loop = asyncio.get_running_loop()
        run = self._run
        if run is None or run.done() or run.get_loop() is not loop:
            run = self._run = loop.create_task(self._once())
        # Who asks may go away; the check goes on for the others.
        return await asyncio.shield(run)

    async def settled(self) -> None:
        """Wait until no run is under way."""
        run = self._run
        if run and not run.done() and run.get_loop() is asyncio.get_running_loop():
            await asyncio.wait({run})

    def samples(self) -> Iterator[Sample]:
        """What is known about the dependency now."""
        labels = (self.check.name,)
        yield Sample(metrics.RUNS, self._runs, labels)
        yield Sample(metrics.FAILURES, self._failures, labels)
        latest = self.latest
        if latest is None:
            return
        age = latest.age_seconds
        yield Sample(metrics.AGE, age, labels)
        if age <= _LIVES * (self.check.ttl_seconds + self.check.timeout_seconds):
            yield Sample(metrics.SUCCESS, float(latest.ok), labels)
            yield Sample(metrics.DURATION, latest.seconds, labels)
            if not latest.ok:
                yield Sample(metrics.ERROR, 1, (self.check.name, latest.reason))

    async def _once(self) -> Result:
        if not self._is_running():
            self._began = perf_counter()
        why, error = await self._try()
        result = Result(why, error, perf_counter() - self._began, monotonic())
        with self._lock:
            self._runs += 1
            self._failures += not result.ok
        self.latest = result
        return result

    async def _try(self) -> tuple[str, str]:
        """The reason of the failure and the class of what was raised; both empty after a success."""
        if self._is_running():
            return STILL_RUNNING, ""
        work = self._work = asyncio.create_task(self._ask())
        work.add_done_callback(_fetch)
        try:
            await asyncio.wait({work}, timeout=self.check.timeout_seconds)
        finally:
            # It may take its time to end, or not end at all; nobody waits for that.
            work.cancel()
        if not work.done():
            return TIMEOUT, ""
        if work.cancelled():
            return TIMEOUT, "CancelledError"
        failure = work.exception()
        if failure is None:
            return (REFUTED, "") if work.result() is False else ("", "")
        return reason(failure), type(failure).__name__

    async def _ask(self) -> Any:
        try:
            return await self._answer()
        except (SystemExit, KeyboardInterrupt) as error:
            # They would end the event loop, and with it the server.
            raise RuntimeError(f"the check raised {type(error).__name__}") from error

    async def _answer(self) -> Any:
        if inspect.iscoroutinefunction(self.check.ask):
            return await self.check.ask()
        errand = self._errand = Errand(self.check.ask, f"health-{self.check.name}")
        answer = await errand.answer
        return await answer if inspect.isawaitable(answer) else answer

    def _is_running(self) -> bool:
        """Whether an earlier run, which nobody waits for any more, has not ended."""
        work = self._work
        if work and not work.done() and not work.get_loop().is_closed():
            return True
        return bool(self._errand and not self._errand.over)


def _fetch(work: asyncio.Task[Any]) -> None:
    """What comes when nobody waits any more is of no interest, but must be fetched."""
    if not work.cancelled():
        work.exception()
