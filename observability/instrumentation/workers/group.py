"""All workers of a server, seen as one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from typing import Final

from observability.errors import InstrumentationError
from observability.instrumentation.workers.asking import ask
from observability.instrumentation.workers.directory import Directory, Name
from observability.instrumentation.workers.ended import Ended
from observability.instrumentation.workers.metrics import STARTS, UP
from observability.instrumentation.workers.reading import Counters
from observability.instrumentation.workers.rows import Row, Together, decode
from observability.instrumentation.workers.worker import Worker
from observability.metrics import Batch, Metric

DEADLINE_SECONDS: Final = 1.0


class Group:
    """
    The workers that meet in one directory.

    What they have counted is read from their files, so that one that ends, or hangs, takes nothing away from it. What is
    so at this moment each is asked for.
    """

    def __init__(self, directory: Directory, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        self._directory = directory
        self._deadline_seconds = deadline_seconds
        self._counters: dict[Name, Counters] = {}
        self._reading = threading.Lock()

    def collect(self, me: Worker | None = None) -> list[Batch]:
        """
        The samples of all workers together; `me` is the one in this process, which need not be asked.

        Raises:
            InstrumentationError: when the directory is gone.

        """
        if me is not None and not me.cells.linked:
            raise InstrumentationError(
                f"the files of this worker in {self._directory.path} were removed; restart the server"
            )
        together = Together()
        for seat, row in self._now(me):
            together.add(row, seat)
        # First the files, then the sum of the ended: who ends meanwhile is found in one of them, or in both and is skipped.
        with self._reading:
            counted = {name: rows for name in self._names() if (rows := self._read(name)) is not None}
            ended = self._ended()
        for name in sorted(counted, key=lambda name: name != (me and me.name)):
            if name.number > ended.seats.get(name.seat, 0):
                for row in counted[name]:
                    together.add(row)
        for row in ended.rows:
            together.add(row)
        together.add(_row(STARTS, _starts(ended, counted)))
        return together.batches(ended.since)

    def _now(self, me: Worker | None) -> Iterator[tuple[int, Row]]:
        """What each living worker says, by its seat."""
        names = {self._directory.address(name): name for name in self._names() if me is None or name != me.name}
        said: dict[int, list[Row]] = {}
        for path, answer in ask(names, self._deadline_seconds).items():
            rows = decode(json.loads(answer)) if answer is not None else ()
            said[names[path].seat] = [_row(UP, float(answer is not None)), *rows]
        if me is not None:
            said[me.name.seat] = [_row(UP, 1), *me.tell()]
        for seat in sorted(said):
            for row in said[seat]:
                yield seat, row

    def _names(self) -> list[Name]:
        try:
            return self._directory.workers()
        except FileNotFoundError:
            raise self._gone() from None

    def _read(self, name: Name) -> list[Row] | None:
        counters = self._counters.get(name) or self._counters.setdefault(name, Counters(self._directory.stem(name)))
        try:
            return list(counters.rows())
        except FileNotFoundError:
            self._counters.pop(name, None)
            return None

    def _ended(self) -> Ended:
        ended = self._directory.ended()
        if ended is None:
            raise self._gone()
        return ended

    def _gone(self) -> InstrumentationError:
        return InstrumentationError(f"the workers' directory {self._directory.path} is gone; restart the server")


def _row(metric: Metric, value: float) -> Row:
    return Row(metric, (), (), value)


def _starts(ended: Ended, living: Iterable[Name]) -> int:
    """A seat's workers are numbered from 1."""
    last = dict(ended.seats)
    for name in living:
        last[name.seat] = max(name.number, last.get(name.seat, 0))
    return sum(last.values())
