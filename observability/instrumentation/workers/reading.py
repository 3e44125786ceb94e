"""Reads the counters of a worker, living or not, from its files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from observability.instrumentation.workers.cells import CELL_BYTES
from observability.instrumentation.workers.rows import Attributes, Labels, Row, declared, pairs
from observability.metrics import Histogram, Metric, Value

_Reader: TypeAlias = (
    "Callable[[memoryview[int], memoryview[float]], Value]"  # a text: memoryview takes no parameter before 3.14
)


class Counters:
    """The counters of one worker; what was understood once is not parsed again."""

    def __init__(self, stem: Path) -> None:
        self._series = stem.with_name(f"{stem.name}.series")
        self._cells = stem.with_name(f"{stem.name}.cells")
        self.header: Mapping[str, Any] = {}
        self._metrics: dict[str, Metric] = {}
        self._rows: dict[tuple[str, str], tuple[Metric, Attributes, Labels, _Reader]] = {}
        self._parsed = 0

    def rows(self) -> Iterator[Row]:
        """
        What has been counted until now.

        Raises:
            FileNotFoundError: when the worker has ended and its counters have been added to those of the ended.

        """
        # In this order: a series is described after its cells exist.
        self._parse()
        numbers = self._cells.read_bytes()
        whole = memoryview(numbers)[: len(numbers) // CELL_BYTES * CELL_BYTES]
        integers, floats = whole.cast("q"), whole.cast("d")
        for metric, attributes, labels, read in self._rows.values():
            yield Row(metric, attributes, labels, read(integers, floats))

    def _parse(self) -> None:
        with self._series.open("rb") as file:
            file.seek(self._parsed)
            text = file.read()
        # The worker may be about to write the last line, or may have been killed while it did.
        complete = text[: text.rfind(b"\n") + 1]
        self._parsed += len(complete)
        for line in complete.splitlines():
            self._understand(json.loads(line))

    def _understand(self, line: Mapping[str, Any]) -> None:
        if "metric" in line:
            metric = declared(line["metric"])
            self._metrics[metric.prometheus_name] = metric
        elif "series" in line:
            name, attributes, labels = line["series"]
            metric = self._metrics[name]
            cells = json.dumps({key: value for key, value in line.items() if key != "series"})
            self._rows[name, cells] = (metric, pairs(attributes), tuple(labels), _reader(metric, line))
        else:
            self.header = line.get("header", self.header)


def _reader(metric: Metric, line: Mapping[str, Any]) -> _Reader:
    """How the value of a series is read."""
    if metric.kind == "histogram":
        return _histogram(line["counts"], len(metric.buckets) + 1, line["sum"], line.get("quick"))
    if "float" in line:
        return _float(line["float"])
    return _sum(line.get("plus", []), line.get("minus", []))


def _histogram(first: int, buckets: int, total: int, quick: int | None) -> _Reader:
    def read(integers: memoryview[int], floats: memoryview[float]) -> Histogram:
        counts = integers[first : first + buckets].tolist()
        if quick is not None:
            counts[0] += integers[quick]
        return Histogram(counts, floats[total])

    return read


def _float(cell: int) -> _Reader:
    def read(_: memoryview[int], floats: memoryview[float]) -> float:
        return float(floats[cell])

    return read


def _sum(plus: list[list[int]], minus: list[list[int]]) -> _Reader:
    def read(integers: memoryview[int], _: memoryview[float]) -> float:
        return _total(integers, plus) - _total(integers, minus)

    return read


def _total(integers: memoryview[int], ranges: list[list[int]]) -> int:
    return sum(sum(integers[first : first + count]) for first, count in ranges)
