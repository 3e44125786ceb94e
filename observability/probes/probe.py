"""What a probe is: questions to a target, and a pure function from the answers to samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from observability.errors import Reason
from observability.metrics import Metric, Sample

System: TypeAlias = str
"""What is asked: `postgres`, `redis` or `http`."""

Question: TypeAlias = str | tuple[str, ...]
"""A SQL statement for PostgreSQL, a command with its arguments for Redis, a method for HTTP."""


class Facts(NamedTuple):
    """What the connection knows of its server without asking: `version` as a comparable number (160004), 0 unknown."""

    version: int = 0


class Answer(NamedTuple):
    """What a target said: rows for PostgreSQL, a parsed reply for Redis, a response for HTTP; and how long it took."""

    value: Any
    seconds: float


class Failure(NamedTuple):
    """Why there is no answer. The message holds no secret and is for people; the reason is for labels."""

    reason: Reason
    message: str
    seconds: float = 0.0


class Connection(Protocol):
    """A kept connection to a target: what a scrape needs of a driver."""

    facts: Facts

    @property
    def usable(self) -> bool:
        """False once the connection is lost or in an unknown state: it must be aborted and replaced."""
        ...

    async def ask(self, questions: Sequence[Question], timeout: float) -> list[Answer | Failure]:
        """
        One outcome for each question, in their order, within `timeout` seconds.

        A question that fails costs only its own outcome; never raises for what a server did.
        """
        ...

    def abort(self) -> None:
        """Drop the socket at once, without waiting for the server."""
        ...


class Probe(NamedTuple):
    """
    One thing that is asked of a target.

    `ask` is the question, or a function of the server's facts that gives it (None: this server cannot be asked).
    `read` gets the answer's value and gives samples; it does no I/O, so recorded answers test it.
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
