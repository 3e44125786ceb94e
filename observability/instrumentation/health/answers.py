"""From states and results to what is answered: nothing in it that a driver said, as drivers repeat passwords."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from observability.instrumentation.health.metrics import State
from observability.instrumentation.health.runner import Runner

_OK, _UNAVAILABLE = 200, 503


class Answer(NamedTuple):
    """A status and what is said with it: a word, and perhaps each check."""

    status: int
    word: str
    checks: tuple[Runner, ...] | None = None

    def as_json(self) -> bytes:
        """For programs."""
        body: dict[str, object] = {"status": self.word}
        if self.checks is not None:
            body["checks"] = {runner.check.name: _details(runner) for runner in self.checks}
        return json.dumps(body, indent=2 if self.checks else None).encode() + b"\n"

    def as_text(self) -> bytes:
        """For people."""
        lines = [] if self.checks is None else [_line(runner) for runner in self.checks]
        return "\n".join([*lines, self.word, ""]).encode()


def alive() -> Answer:
    """That this is answered at all says that the event loop turns."""
    return Answer(_OK, "ok")


def ready(state: State, checks: Iterable[Runner] | None) -> Answer:
    """Whether this server may get traffic."""
    return Answer(_OK if state is State.READY else _UNAVAILABLE, state.value, None if checks is None else tuple(checks))


def healthy(runners: Iterable[Runner], *, verbose: bool) -> Answer:
    """Whether all that this server depends on is well."""
    runners = tuple(runners)
    well = all(runner.latest is None or runner.latest.ok for runner in runners)
    return Answer(_OK if well else _UNAVAILABLE, "ok" if well else "failing", runners if verbose else None)


def _details(runner: Runner) -> dict[str, object]:
    found: dict[str, object] = {"critical": runner.check.critical}
    latest = runner.latest
    if latest is None:
        return found
    found |= {"ok": latest.ok, "seconds": round(latest.seconds, 6), "age_seconds": round(latest.age_seconds, 3)}
    if not latest.ok:
        found |= {"reason": latest.reason, "error": latest.error}
    return found


def _line(runner: Runner) -> str:
    latest = runner.latest
    note = " (critical)" if runner.check.critical else ""
    if latest is None:
        return f"[ ] {runner.check.name}{note}: not checked yet"
    how = "ok" if latest.ok else f"failed: {latest.reason}" + (f" ({latest.error})" if latest.error else "")
    sign = "+" if latest.ok else "-"
    return f"[{sign}] {runner.check.name}{note}: {how}, {latest.seconds * 1000:.1f} ms, {latest.age_seconds:.1f} s ago"
