"""Metrics and workers that only these tests know."""

from __future__ import annotations

import os
from pathlib import Path

from observability.instrumentation.workers.cells import Cells
from observability.instrumentation.workers.counting import shared_counts, shared_observations
from observability.instrumentation.workers.directory import Directory, Name
from observability.metrics import Metric

DONE = Metric(name="ha.made.done", kind="counter", unit="{thing}", help="Things done.", labels=("pool",))
TIME = Metric(
    name="ha.made.time", kind="histogram", unit="s", help="Time it took.", labels=("pool",), buckets=(0.25, 1.0)
)
SPENT = Metric(name="ha.made.spent", kind="counter", unit="s", help="Time spent.")
OPEN = Metric(name="ha.made.open", kind="updowncounter", unit="{thing}", help="Things open.", labels=("pool",))
AGE = Metric(name="ha.made.age", kind="gauge", unit="s", help="Age of the oldest.", across_workers="max")
FREE = Metric(name="ha.made.free", kind="gauge", unit="{thing}", help="Room that is left.", across_workers="min")
LAG = Metric(name="ha.made.lag", kind="gauge", unit="s", help="Lag of this worker.")

APP = (("app", "shop"),)


class Past:
    """A worker without a process: it has a seat, and has counted."""

    def __init__(self, directory: Path, run: str = "run") -> None:
        self.directory = Directory(directory)
        self.directory.prepare()
        self.name: Name
        self.name, self._lock = self.directory.take_seat(run)
        self.cells = Cells(self.directory.stem(self.name), {"pid": 1})
        self._counts = shared_counts(self.cells, APP)
        self._times = shared_observations(self.cells, TIME, APP, ("core",))

    def count(self, times: int) -> None:
        """Do things, each in an eighth of a second."""
        self._counts[DONE, ("core",)] += times
        for _ in range(times):
            self._times.add(0.125, TIME.buckets)

    def die(self) -> None:
        """End as a killed process does: the kernel closes what it had open, and nothing else happens."""
        self.cells.close()
        os.close(self._lock)
