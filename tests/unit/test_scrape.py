"""The runner: one run at a time, a deadline for all, and what goes wrong costs only its own samples."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from observability.connect import Target
from observability.errors import Reason, TargetError
from observability.metrics import Metric, Sample
from observability.probes.probe import Answer, Facts, Failure, Probe, Question
from observability.scrape import PROBE_ERROR, PROBE_SUCCESS, STATE, UP, Look, Scraper, Watcher

VALUE = Metric(name="ha.thing.value", kind="gauge", help="It.", labels=("probe",))
TARGET = Target(name="a", system="postgres", cluster="demo", timeout_seconds=0.5)


def reading(name: str, question: Question | Callable[[Facts], Question | None] = "Q") -> Probe:
    """A probe that gives the answer back as its value."""
    return Probe(name, "postgres", question, lambda value: [VALUE.sample(value, name)], (VALUE,))


class Line:
    """A connection whose answers a test decides; it notes what was asked of it."""

    def __init__(self, answer: Callable[[Question], Any] = lambda _: 1.0) -> None:
        self.facts = Facts(160_004)
        self.usable = True
        self.asked: list[Question] = []
        self.aborted = False
        self.answer = answer

    async def ask(self, questions: Sequence[Question], timeout: float) -> list[Answer | Failure]:  # noqa: ARG002
        """The outcomes; an awaitable answer is awaited."""
        self.asked += questions
        outcomes: list[Answer | Failure] = []
        for question in questions:
            value = self.answer(question)
            value = await value if asyncio.iscoroutine(value) else value
            outcomes.append(value if isinstance(value, Failure) else Answer(value, 0.001))
        return outcomes

    def abort(self) -> None:
        """Note it."""
        self.aborted = True


class HeldLine(Line):
    """A connection that answers 7 once it may."""

    def __init__(self) -> None:
        self.was_asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        super().__init__(lambda _: self._when_told())

    async def _when_told(self) -> float:
        self.was_asked.set()
        await self.may_answer.wait()
        return 7.0


class Door:
    """Hands out the given connections or failures, one after the other."""

    def __init__(self, *given: Line | Failure | Exception) -> None:
        self._given = iter(given)
        self.opened = 0

    async def __call__(self, target: Any, timeout: float) -> Any:  # noqa: ARG002 -- what a door is asked for
        """The next one."""
        self.opened += 1
        found = next(self._given)
        if isinstance(found, Exception):
            raise found
        return found


def state(look: Look) -> tuple[float, str]:
    """`up` and the one state that is 1."""
    up = next(sample.value for sample in look.samples if sample.metric is UP)
    (current,) = [s.labels[0] for s in look.samples if s.metric is STATE and s.value == 1]
    return float(up), current  # type: ignore[arg-type]  # no histogram


def values(look: Look) -> dict[str, float]:
    """What the probes read."""
    return {sample.labels[0]: sample.value for sample in look.samples if sample.metric is VALUE}  # type: ignore[misc]


def errors(look: Look) -> dict[str, str]:
    """Which probes failed and why."""
    return {s.labels[0]: s.labels[1] for s in look.samples if s.metric is PROBE_ERROR}


async def test_probes_share_answers_and_the_connection_is_kept() -> None:
    """A question is asked once however many probes want it, over one connection from scrape to scrape."""
    line = Line()
    door = Door(line)
    watcher = Watcher(TARGET, door, [reading("one"), reading("two"), reading("three", ("X", "y"))])
    looks = [await watcher.look(1) for _ in range(3)]
    assert (door.opened, line.asked) == (1, ["Q", ("X", "y")] * 3)
    assert [values(look) for look in looks] == [{"one": 1.0, "two": 1.0, "three": 1.0}] * 3
    assert state(looks[0]) == (1.0, "ok")
    await watcher.close()
    assert line.aborted


async def test_probes_of_other_systems_are_left_out() -> None:
    """A target is asked what its system knows, and what its version knows."""
    line = Line()
    other = Probe("redis", "redis", "PING", lambda _: [], ())
    future = reading("future", lambda facts: "NEW" if facts.version >= 190_000 else None)
    watcher = Watcher(TARGET, Door(line), [other, future, reading("now", lambda facts: f"V{facts.version}")])
    look = await watcher.look(1)
    assert line.asked == ["V160004"]
    assert {s.labels[0] for s in look.samples if s.metric is PROBE_SUCCESS} == {"now"}


async def test_a_probe_that_cannot_read_costs_only_its_own(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a probe raises, the others' samples stand, what it gave before stands too, and the target is up."""

    def some(value: float) -> Iterator[Sample]:
        yield VALUE.sample(value, "some")
        raise TargetError(Reason.PERMISSION, "the rest is hidden")

    def none(value: Any) -> list[Sample]:
        raise KeyError(value)

    probes = [
        Probe("some", "postgres", "Q", some, (VALUE,)),
        Probe("none", "postgres", "Q", none, (VALUE,)),
        reading("fine"),
    ]
    with caplog.at_level(logging.ERROR):
        look = await Watcher(TARGET, Door(Line()), probes).look(1)
    assert values(look) == {"some": 1.0, "fine": 1.0}
    assert errors(look) == {"some": "permission", "none": "error"}
    assert state(look) == (1.0, "ok")
    assert look.notes == (
        "some: the rest is hidden",
        "none: the answer cannot be read (KeyError); see the exporter's log",
    )
    assert [record.message for record in caplog.records] == ["a: probe none cannot read the answer"]


async def test_all_probes_fail() -> None:
    """A target none of whose probes succeeds is not up; the first reason is its state."""
    line = Line(lambda question: Failure(Reason.PERMISSION if question == "Q" else Reason.SLOW, "no"))
    look = await Watcher(TARGET, Door(line), [reading("one"), reading("two", "R")]).look(1)
    assert state(look) == (0.0, "permission")
    assert errors(look) == {"one": "permission", "two": "slow"}


async def test_no_connection() -> None:
    """Without a connection each probe fails for its reason, and the next look tries again."""
    door = Door(Failure(Reason.REFUSED, "refused"), Line())
    watcher = Watcher(TARGET, door, [reading("one")])
    first, second = await watcher.look(1), await watcher.look(1)
    assert (state(first), errors(first), values(first)) == ((0.0, "refused"), {"one": "refused"}, {})
    assert (state(second), values(second)) == ((1.0, "ok"), {"one": 1.0})


async def test_driver_that_raises_costs_its_own_target(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a driver raises, in connecting or in asking, is that target's error and nobody else's."""

    def burst(_: Question) -> Any:
        raise UnicodeDecodeError("utf-8", b"hunter2", 0, 1, "invalid start byte")

    line = Line(burst)
    watcher = Watcher(TARGET, Door(AssertionError("boom"), line, Line()), [reading("one")])
    with caplog.at_level(logging.ERROR):
        looks = [await watcher.look(1) for _ in range(3)]
    assert [state(look) for look in looks] == [(0.0, "error"), (0.0, "error"), (1.0, "ok")]
    assert line.aborted
    messages = [outcome.message for look in looks for outcome in look.outcomes.values() if isinstance(outcome, Failure)]
    assert messages == [f"the driver failed with {kind}; see the exporter's log" for kind in ("AssertionError", "UnicodeDecodeError")]  # fmt: skip


async def test_kept_line_that_died_is_replaced_within_the_look() -> None:
    """A connection that was lost since the last scrape says nothing about the target: a new one is tried at once."""
    first, second = Line(), Line()
    door = Door(first, second)
    watcher = Watcher(TARGET, door, [reading("one")])
    await watcher.look(1)

    def dead(_: Question) -> Failure:
        first.usable = False
        return Failure(Reason.CLOSED, "gone")

    first.answer = dead
    look = await watcher.look(1)
    assert (state(look), door.opened, first.aborted) == ((1.0, "ok"), 2, True)


async def test_new_line_that_dies_is_not_tried_again() -> None:
    """A server that hangs up on each new connection is not asked twice within a scrape."""

    def dying() -> Line:
        line = Line()

        def dead(_: Question) -> Failure:
            line.usable = False
            return Failure(Reason.CLOSED, "gone")

        line.answer = dead
        return line

    door = Door(dying(), dying())
    look = await Watcher(TARGET, door, [reading("one")]).look(1)
    assert (state(look), door.opened) == ((0.0, "closed"), 1)


async def test_driver_that_forgets_its_deadline_meets_the_second_fence() -> None:
    """A driver that does not return in time is left, and its connection dropped."""
    line = Line(lambda _: asyncio.sleep(3600))
    watcher = Watcher(TARGET, Door(line, Line()), [reading("one")])
    look = await asyncio.wait_for(watcher.look(0.05), 5)
    assert (state(look), line.aborted) == ((0.0, "hung"), True)
    assert state(await watcher.look(1)) == (1.0, "ok")


async def test_overlapping_looks_share_one_run() -> None:
    """Two Prometheus servers that scrape at the same time cost the target one set of questions."""
    line = HeldLine()
    watcher = Watcher(TARGET, Door(line), [reading("one")])
    looks = [asyncio.create_task(watcher.look(1)) for _ in range(3)]
    await line.was_asked.wait()
    line.may_answer.set()
    assert [values(look) for look in await asyncio.gather(*looks)] == [{"one": 7.0}] * 3
    assert line.asked == ["Q"]


async def test_scrape_in_a_hurry_does_not_wait_for_another_ones_run() -> None:
    """A look with a shorter deadline than the run it joined is late, and leaves that run alone."""
    line = HeldLine()
    watcher = Watcher(TARGET, Door(line), [reading("one")])
    patient = asyncio.create_task(watcher.look(60))
    await line.was_asked.wait()
    assert state(await watcher.look(0.01)) == (0.0, "late")
    line.may_answer.set()
    assert (state(await patient), line.asked) == ((1.0, "ok"), ["Q"])


async def test_scraper_that_goes_away_does_not_end_the_run() -> None:
    """A client that hangs up cancels its own wait: the run goes on for whoever else waits."""
    line = HeldLine()
    watcher = Watcher(TARGET, Door(line), [reading("one")])
    leaving, staying = (asyncio.create_task(watcher.look(60)) for _ in range(2))
    await line.was_asked.wait()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    line.may_answer.set()
    assert (values(await staying), line.asked) == ({"one": 7.0}, ["Q"])


async def test_scrape_of_many_targets() -> None:
    """Each target has its batch whatever happens to the others; what is compared and how long it took come last."""
    targets = [Target(name=name, system="http", cluster="demo", zone=zone) for name, zone in (("a", ""), ("b", "z"))]
    scraper = Scraper(targets, Door(Failure(Reason.REFUSED, "no"), AssertionError()))
    batches = await scraper.scrape(1)
    assert [batch.attributes for batch in batches] == [
        (("cluster", "demo"), ("server", "a")),
        (("cluster", "demo"), ("server", "b"), ("zone", "z")),
        (("cluster", "demo"),),
        (),
    ]
    await scraper.close()
