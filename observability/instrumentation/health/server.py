"""What a server knows about its own health, and keeps up to date."""

from __future__ import annotations

import asyncio
import weakref
from collections import Counter
from time import monotonic
from typing import Final

from observability.errors import InstrumentationError
from observability.instrumentation import registry
from observability.instrumentation.health import metrics
from observability.instrumentation.health.check import HealthCheck
from observability.instrumentation.health.drain import TerminationDelay
from observability.instrumentation.health.metrics import State
from observability.instrumentation.health.runner import Runner
from observability.metrics import Batch, Sample

_WATCHED_SECONDS: Final = 60.0


class ServerHealth:
    """The checks of one server, and whether it may get traffic."""

    def __init__(self, checks: tuple[HealthCheck, ...], grace_seconds: float, *, delay_sigterm: bool) -> None:
        twice = [name for name, number in Counter(check.name for check in checks).items() if number > 1]
        if twice:
            raise InstrumentationError(f"each health check needs a name of its own: {', '.join(twice)} is there twice")
        self.runners = tuple(Runner(check) for check in checks)
        self.critical = tuple(runner for runner in self.runners if runner.check.critical)
        self.started = True
        self._grace = grace_seconds
        self._delay = TerminationDelay(self._end_soon) if delay_sigterm else None
        self._renewing: asyncio.Task[None] | None = None
        self._loop: weakref.ref[asyncio.AbstractEventLoop] | None = None
        self._drained_at: float | None = None
        self._asked_at: float | None = None
        registry.add(self)

    @property
    def state(self) -> State:
        """Whether this server may get traffic, by the latest results of its critical checks."""
        if self._drained_at is not None:
            return State.DRAINING
        if not self.started:
            return State.STARTING
        well = all(runner.latest and runner.latest.ok for runner in self.critical)
        return State.READY if well else State.NOT_READY

    def drain(self) -> None:
        """Say from now on that this server may get no traffic; it goes on answering what it gets."""
        if self._drained_at is None:
            self._drained_at = monotonic()

    def resume(self) -> None:
        """Take `drain` back."""
        self._drained_at = None

    def asked(self) -> None:
        """Somebody asks whether this server may get traffic, so somebody will notice when it may not."""
        self._asked_at = monotonic()

    def begin(self) -> None:
        """Renew the results from now on, as long as this event loop runs."""
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop() is loop:
            return
        self._loop = weakref.ref(loop)
        if self not in registry.known():
            registry.add(self)
        if self.runners:
            self._renewing = loop.create_task(_renew_all(self.runners))
        if self._delay:
            self._delay.install()

    def end(self) -> None:
        """Renew nothing any more, and tell nothing: old results must not hide those of a successor."""
        registry.discard(self)
        self._loop = None
        if self._renewing:
            self._renewing.cancel()
        if self._delay:
            self._delay.remove()

    async def close(self) -> None:
        """Renew nothing any more, and wait for what is under way, which ends by its timeout."""
        self.end()
        await asyncio.gather(*(runner.settled() for runner in self.runners))

    def collect(self) -> tuple[Batch, ...]:
        """The samples of this moment."""
        samples: list[Sample] = list(metrics.STATE.states(self.state, tuple(State)))
        for runner in self.runners:
            samples += runner.samples()
        return (Batch((), samples),)

    def forget(self) -> None:
        """Start from nothing, as the child of a fork must."""
        self._loop = self._renewing = None
        for runner in self.runners:
            runner.forget()

    def _end_soon(self) -> float:
        """Begin to drain; how long the server should go on. Where nobody has asked lately, nobody needs the time."""
        now = monotonic()
        self.drain()
        if self._asked_at is None or now - self._asked_at > _WATCHED_SECONDS or self._drained_at is None:
            return 0.0
        return max(0.0, self._grace - (now - self._drained_at))


async def _renew_all(runners: tuple[Runner, ...]) -> None:
    await asyncio.gather(*map(_renew, runners))


async def _renew(runner: Runner) -> None:
    while True:
        await runner.renew()
        await asyncio.sleep(runner.check.ttl_seconds)
