"""A worker among others: what it answers, and what others make of one that answers badly or not at all."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from observability.errors import InstrumentationError
from observability.instrumentation import registry
from observability.instrumentation.workers import directory as directories
from observability.instrumentation.workers.asking import address, ask
from observability.instrumentation.workers.directory import Directory
from observability.instrumentation.workers.group import Group
from observability.instrumentation.workers.rows import Attributes
from observability.instrumentation.workers.worker import Worker
from observability.metrics import Batch, Value
from tests.unit.instrumentation.workers.made import AGE, LAG, OPEN, SPENT, Past

Told = dict[tuple[str, Attributes], Value]


class Source:
    """Something of this process that has samples to give."""

    def __init__(self) -> None:
        self.spent = 0.0

    def collect(self) -> Iterable[Batch]:
        """Some of each kind."""
        return (Batch((), [SPENT.sample(self.spent), OPEN.sample(2.0, "core"), AGE.sample(3.0), LAG.sample(0.5)]),)

    def forget(self) -> None:
        """Start from nothing."""


class Broken(Source):
    """A source that cannot tell."""

    def collect(self) -> Iterable[Batch]:
        """Fail."""
        raise ValueError("broken")


@pytest.fixture
def source() -> Iterator[Source]:
    """A source of this process."""
    made = Source()
    registry.add(made)
    yield made
    registry.discard(made)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the workers meet."""
    return tmp_path / "workers"


@pytest.fixture
def work(path: Path) -> Iterator[Callable[[], Worker]]:
    """Makes workers, all in this process, so that each tells what it tells."""
    made: list[Worker] = []

    def work() -> Worker:
        directory = Directory(path)
        directory.prepare()
        made.append(Worker(directory, "run"))
        return made[-1]

    yield work
    for worker in made:
        worker.leave()


def told(path: Path, me: Worker | None = None, deadline_seconds: float = 5.0) -> Told:
    """What all workers tell together, of what these tests know."""
    batches = Group(Directory(path), deadline_seconds).collect(me)
    return {
        (sample.metric.name, batch.attributes): sample.value
        for batch in batches
        for sample in batch.samples
        if sample.metric.name.startswith(("ha.made", "ha.worker"))
    }


def seat(number: int) -> Attributes:
    """The label of what one worker has for itself."""
    return (("worker", str(number)),)


TWO: Told = {
    ("ha.made.spent", ()): 10.0,
    ("ha.made.open", ()): 4.0,
    ("ha.made.age", ()): 3.0,
    ("ha.made.lag", seat(0)): 0.5,
    ("ha.made.lag", seat(1)): 0.5,
    ("ha.worker.up", seat(0)): 1.0,
    ("ha.worker.up", seat(1)): 1.0,
    ("ha.worker.starts", ()): 2,
}


def test_two_workers_tell_together(path: Path, work: Callable[[], Worker], source: Source) -> None:
    """Any of them, and somebody who is none of them, gets the same answer; it is of this moment, not of a second ago."""
    first, second = work(), work()
    source.spent = 5.0
    assert told(path) == TWO
    source.spent = 5.5
    assert told(path, first) == told(path, second) == TWO | {("ha.made.spent", ()): 11.0}


def test_what_is_so_only_now_goes_with_its_worker(path: Path, work: Callable[[], Worker], source: Source) -> None:
    """A worker that has left takes its gauges with it, and nothing of what it had counted."""
    first, second = work(), work()
    source.spent = 5.0
    second.leave()
    source.spent = 6.0
    assert told(path, first) == {
        ("ha.made.spent", ()): 11.0,
        ("ha.made.open", ()): 2.0,
        ("ha.made.age", ()): 3.0,
        ("ha.made.lag", seat(0)): 0.5,
        ("ha.worker.up", seat(0)): 1.0,
        ("ha.worker.starts", ()): 2,
    }


def test_a_worker_that_hangs_costs_only_what_it_alone_can_tell(
    path: Path, work: Callable[[], Worker], source: Source
) -> None:
    """It is told to be there and not to answer; what it had counted is in the sum; the others' answers are as ever."""
    first = work()
    hanging = Past(path)
    hanging.count(3)
    with closing(socket.socket(socket.AF_UNIX)) as door, address(hanging.directory.address(hanging.name)) as where:
        door.bind(where)
        door.listen()
        source.spent = 5.0
        began = time.monotonic()
        seen = told(path, first, deadline_seconds=0.2)
        assert time.monotonic() - began < 5.0
    assert seen == {
        ("ha.made.spent", ()): 5.0,
        ("ha.made.open", ()): 2.0,
        ("ha.made.age", ()): 3.0,
        ("ha.made.lag", seat(0)): 0.5,
        ("ha.made.done", (("app", "shop"),)): 3,
        ("ha.made.time", (("app", "shop"),)): seen["ha.made.time", (("app", "shop"),)],
        ("ha.worker.up", seat(0)): 1.0,
        ("ha.worker.up", seat(1)): 0.0,
        ("ha.worker.starts", ()): 2,
    }
    hanging.die()


def test_a_source_that_fails_costs_itself(path: Path, work: Callable[[], Worker], source: Source) -> None:
    """The error is counted, the rest is told."""
    broken = Broken()
    registry.add(broken)
    work(), work()
    source.spent = 5.0
    try:
        assert told(path) == TWO
        errors = [
            sample.value
            for batch in Group(Directory(path)).collect()
            for sample in batch.samples
            if (sample.metric.name, sample.labels) == ("ha.instrumentation.errors", ("workers",))
        ]
        assert isinstance(errors[0], int | float)
        assert errors[0] >= 2
    finally:
        registry.discard(broken)


def test_a_worker_without_room_is_no_silent_loss(path: Path, work: Callable[[], Worker], source: Source) -> None:
    """Whose counters cannot be written down any more does not answer others, and refuses to answer for all."""
    first, second = work(), work()
    source.spent = 5.0
    told(path)
    first.cells.problem = "there is no room"
    assert told(path, second)["ha.worker.up", seat(0)] == 0.0
    with pytest.raises(InstrumentationError, match="there is no room"):
        told(path, first)


def test_a_worker_whose_files_are_gone_refuses_to_answer(path: Path, work: Callable[[], Worker]) -> None:
    """Somebody has tidied up: what is counted from now on would be told by nobody."""
    first = work()
    first.cells.path.unlink()
    with pytest.raises(InstrumentationError, match="were removed; restart the server"):
        told(path, first)


def test_a_path_too_long_for_a_socket(tmp_path: Path, source: Source) -> None:
    """Sockets in directories with long names are reached all the same."""
    directory = Directory(tmp_path / ("long" * 30) / "workers")
    directory.prepare()
    worker = Worker(directory, "run")
    source.spent = 5.0
    assert told(directory.path)["ha.made.spent", ()] == 5.0
    worker.leave()


def test_nobody_is_asked_who_is_not_there(tmp_path: Path) -> None:
    """A socket without a listener, and none at all, are ended workers: no answer, and no waiting for one."""
    left = tmp_path / "left.sock"
    with closing(socket.socket(socket.AF_UNIX)) as door:
        door.bind(str(left))
    assert ask([left, tmp_path / "none.sock"], 5.0) == {}


def test_a_queue_that_is_full_is_a_worker_that_hangs(tmp_path: Path) -> None:
    """Even when nobody more can wait for its answer, a frozen worker costs no waiting."""
    path = tmp_path / "full.sock"
    with closing(socket.socket(socket.AF_UNIX)) as door:
        door.bind(str(path))
        door.listen(0)
        with closing(socket.socket(socket.AF_UNIX)) as waiting:
            waiting.connect(str(path))
            assert ask([path], 0.1) == {path: None}


def test_seats_have_an_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More workers than there are seats is an error that says where."""
    monkeypatch.setattr(directories, "_MOST_SEATS", 1)
    first = Past(path)
    with pytest.raises(InstrumentationError, match=f"no seat is free in {path}"):
        Past(path)
    first.die()
