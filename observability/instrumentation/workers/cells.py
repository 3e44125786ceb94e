"""
The counters of one worker: numbers in shared memory with a file behind it, so that they outlive the worker however it ends.

`NAME.cells` holds nothing but numbers of eight bytes, each written at once. `NAME.series` says, a line of JSON for each
series, which cells add up to it. Both only grow.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

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
    """
    The writer's side. Cells may be written by anybody who has them; taking new ones is guarded by a lock.

    Nothing here raises once the files are there: if there is no room for more cells, `problem` says so, and what is taken
    from then on is ordinary memory.
    """

    def __init__(self, stem: Path, header: Mapping[str, Any]) -> None:
        # Reentrant: the garbage collector may call a listener that counts, at any moment.
        self._lock = threading.RLock()
        self._declared: set[str] = set()
        self._chunks = 0
        self._left = 0
        self._chunk: mmap.mmap | None = None
        self._open = True
        self.problem: str | None = None
        self.path = stem.with_name(f"{stem.name}.cells")
        self._series = _create(stem.with_name(f"{stem.name}.series"), os.O_APPEND)
        self._numbers = _create(self.path)
        self._write({"header": dict(header)})
        self._grow()

    def take(self, count: int) -> Block:
        """New cells, all of them 0."""
        with self._lock:
            if count > self._left and self._usable:
                self._try_to_grow(count)
            if not self._usable:
                memory = memoryview(bytearray(count * CELL_BYTES))
                return Block(0, memory.cast("q"), memory.cast("d"))
            at = _CHUNK_CELLS - self._left
            self._left -= count
            memory = memoryview(cast("mmap.mmap", self._chunk))[at * CELL_BYTES : (at + count) * CELL_BYTES]
            return Block((self._chunks - 1) * _CHUNK_CELLS + at, memory.cast("q"), memory.cast("d"))

    def describe(self, metric: Metric, attributes: Attributes, labels: Labels, **cells: Any) -> None:
        """
        Say which cells add up to a series; to say it again with other labels takes the place of what was said.

        A histogram has `counts`, the first of as many neighbouring cells as it has buckets, `sum`, and perhaps `quick`, a
        cell that belongs to the first bucket as well. A counter has `float`, a cell, or `plus` and `minus`, lists of ranges
        of integer cells: the first, and how many.
        """
        with self._lock:
            if not self._usable:
                return
            try:
                if metric.prometheus_name not in self._declared:
                    self._write({"metric": declaration(metric)})
                    self._declared.add(metric.prometheus_name)
                self._write({"series": [metric.prometheus_name, attributes, labels], **cells})
            except OSError as error:
                self.problem = f"{self.path} cannot grow: {error.strerror}"

    @property
    def linked(self) -> bool:
        """Whether the file is still where others look for it."""
        return os.fstat(self._numbers).st_nlink > 0

    def close(self) -> None:
        """Let go of the files; cells that were taken may still be written."""
        with self._lock:
            self._open = False
            os.close(self._series)
            os.close(self._numbers)

    @property
    def _usable(self) -> bool:
        return self._open and self.problem is None

    def _try_to_grow(self, count: int) -> None:
        try:
            self._grow()
        except OSError as error:
            self.problem = f"{self.path} cannot grow: {error.strerror}"
        if count > _CHUNK_CELLS:
            self.problem = f"{self.path} has no room for a series of {count} cells"

    def _grow(self) -> None:
        if self._chunks >= _MOST_CHUNKS:
            raise OSError(errno.EFBIG, "there are too many series")
        at = self._chunks * CHUNK_BYTES
        # Writing to memory that the file system has no room for would kill the process, so the room is taken first.
        if os.pwrite(self._numbers, bytes(CHUNK_BYTES), at) != CHUNK_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._chunk = mmap.mmap(self._numbers, CHUNK_BYTES, offset=at)
        self._chunks += 1
        self._left = _CHUNK_CELLS

    def _write(self, line: Mapping[str, Any]) -> None:
        text = json.dumps(line).encode() + b"\n"
        if os.write(self._series, text) != len(text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _create(path: Path, flags: int = 0) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | flags, 0o600)
