"""
The counters of one worker: numbers in shared memory with a file behind it, so that they outlive the worker however it ends.

`NAME.cells` holds nothing but numbers of eight bytes, each written at once. `NAME.series` says, a line of JSON for each
series, which cells add up to it. Both only grow.
"""

from __future__ import annotations

import json
import mmap
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from observability.errors import InstrumentationError
from observability.instrumentation.workers.rows import Attributes, Labels, declaration
from observability.metrics import Metric

CELL_BYTES = 8
CHUNK_BYTES = max(16_384, mmap.ALLOCATIONGRANULARITY)
_CHUNK_CELLS = CHUNK_BYTES // CELL_BYTES
_MOST_CHUNKS = 1_024
"""16 MiB: a process that has more to count than that gives labels to its metrics that have no end."""


class Block(NamedTuple):
    """Neighbouring cells: the number of the first, and the same memory as integers and as floating point."""

    first: int
    integers: memoryview[int]
    floats: memoryview[float]


class Cells:
    """The writer's side. Cells may be written by anybody who has them; taking new ones is guarded by a lock."""

    def __init__(self, stem: Path, header: Mapping[str, Any]) -> None:
        # Reentrant: the garbage collector may call a listener that counts, at any moment.
        self._lock = threading.RLock()
        self._declared: set[str] = set()
        self._chunks = 0
        self._left = 0
        self._chunk: mmap.mmap | None = None
        self.path = stem.with_name(f"{stem.name}.cells")
        self._series = _create(stem.with_name(f"{stem.name}.series"), os.O_APPEND)
        self._numbers = _create(self.path)
        self._write({"header": dict(header)})

    def take(self, count: int) -> Block:
        """New cells, all of them 0."""
        with self._lock:
            if count > self._left or self._chunk is None:
                self._grow(count)
            at = _CHUNK_CELLS - self._left
            self._left -= count
            chunk = self._chunk
            assert chunk is not None  # noqa: S101 -- it has just grown
            memory = memoryview(chunk)[at * CELL_BYTES : (at + count) * CELL_BYTES]
            return Block((self._chunks - 1) * _CHUNK_CELLS + at, memory.cast("q"), memory.cast("d"))

    def describe(self, metric: Metric, attributes: Attributes, labels: Labels, **cells: Any) -> None:
        """
        Say which cells add up to a series.

        A histogram has `counts`, the number of the first of as many neighbouring cells as it has buckets, and `sum`. A
        counter has `plus` and `minus`, numbers of integer cells, or `float`, the number of one cell.
        """
        with self._lock:
            if metric.prometheus_name not in self._declared:
                self._write({"metric": declaration(metric)})
                self._declared.add(metric.prometheus_name)
            self._write({"series": [metric.prometheus_name, attributes, labels], **cells})

    @property
    def linked(self) -> bool:
        """Whether the file is still where others look for it."""
        return os.fstat(self._numbers).st_nlink > 0

    def close(self) -> None:
        """Let go of the files; cells that were taken may still be written."""
        os.close(self._series)
        os.close(self._numbers)

    def _grow(self, count: int) -> None:
        if count > _CHUNK_CELLS or self._chunks >= _MOST_CHUNKS:
            raise InstrumentationError(f"{self.path} has no room for {count} more cells: too many series")
        at = self._chunks * CHUNK_BYTES
        # Writing to memory that the file system has no room for would kill the process, so the room is taken first.
        if os.pwrite(self._numbers, bytes(CHUNK_BYTES), at) != CHUNK_BYTES:
            raise InstrumentationError(f"there is no room left for {self.path}")
        self._chunk = mmap.mmap(self._numbers, CHUNK_BYTES, offset=at)
        self._chunks += 1
        self._left = _CHUNK_CELLS

    def _write(self, line: Mapping[str, Any]) -> None:
        os.write(self._series, json.dumps(line).encode() + b"\n")


def _create(path: Path, flags: int = 0) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | flags, 0o600)
