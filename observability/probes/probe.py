"""What a probe is: questions to a target, and a pure function from the answers to samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

from observability.metrics import Metric, Sample

System: TypeAlias = str
"""What is asked: `postgres`, `redis` or `http`."""

Question: TypeAlias = str | tuple[str, ...]
"""A SQL statement for PostgreSQL, a command with its arguments for Redis, a method for HTTP."""


class Facts(NamedTuple):
    """What the connection knows of its server without asking: `version` as a comparable number (160004, 70015)."""

    version: int


class Probe(NamedTuple):
    """
    One thing that is asked of a target.

    `ask` is the question, or a function of the server's facts that gives it (None: this server cannot be asked).
    `read` gets the answer and gives samples; it does no I/O, so recorded answers test it.
    Probes of one system that ask the same question share one answer.
    """

    name: str
    system: System
    ask: Question | Callable[[Facts], Question | None]
    read: Callable[[Any], Iterable[Sample]]
    metrics: tuple[Metric, ...]

    def question(self, facts: Facts) -> Question | None:
        """The question for this server."""
        return self.ask(facts) if callable(self.ask) else self.ask
