"""This process as a worker among others: it writes down what it counts, and answers what is so now."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from typing import Final

from observability.errors import InstrumentationError
from observability.instrumentation import registry
from observability.instrumentation.own_errors import OwnErrors
from observability.instrumentation.registry import CountsInCells
from observability.instrumentation.workers.asking import address
from observability.instrumentation.workers.cells import Cells
from observability.instrumentation.workers.directory import Directory
from observability.instrumentation.workers.mirror import COUNTED, Mirror
from observability.instrumentation.workers.rows import Row, encode
from observability.metrics import Batch, Metric

_SHORTEST_PAUSE_SECONDS: Final = 1.0
_LARGEST_SHARE: Final = 0.002
"""Of one processor, for writing down what was counted."""
_ANSWER_SECONDS: Final = 1.0
_BACKLOG: Final = 64
_NONE: Final[frozenset[Metric]] = frozenset()


class Worker:
    """A seat in a directory, and a thread that answers there."""

    def __init__(self, directory: Directory, run: str) -> None:
        self.directory = directory
        self.run = run
        self.name, self._lock = directory.take_seat(run)
        self._errors = OwnErrors("workers")
        self._pause = _SHORTEST_PAUSE_SECONDS
        self._left = False
        self.cells = Cells(directory.stem(self.name), {"pid": os.getpid(), "since": time.time()})
        self._mirror = Mirror(self.cells)
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with address(directory.address(self.name)) as where:
            self._door.bind(where)
        self._door.listen(_BACKLOG)
        registry.count_in(self.cells)
        threading.Thread(target=self._serve, name="ha-observability-worker", daemon=True).start()

    def tell(self) -> list[Row]:
        """
        Write down what was counted, and tell the rest: what is so at this moment.

        Raises:
            InstrumentationError: when there is no more room for what is counted.

        """
        batches = self._batches()
        self._mirror.write(batches)
        if self.cells.problem:
            raise InstrumentationError(self.cells.problem)
        return [
            Row(metric, attributes, labels, value)
            for (attributes, samples, _), _ in batches
            for metric, value, labels in samples
            if metric.kind not in COUNTED
        ]

    def leave(self) -> None:
        """Give up the seat, once; what was counted stays."""
        if self._left:
            return
        self._left = True
        registry.count_in(None)
        with contextlib.suppress(Exception):  # at the end of a process anything may be gone already
            self.tell()
        with contextlib.suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)  # the thread ends with it
        self.directory.address(self.name).unlink(missing_ok=True)
        self.abandon()

    def abandon(self) -> None:
        """Let go of the files, which may be those that a forked child has inherited."""
        self._door.close()
        self.cells.close()
        os.close(self._lock)

    def _batches(self, *, all_of_them: bool = True) -> list[tuple[Batch, frozenset[Metric]]]:
        """What there is to tell; each with the metrics in it that are counted in cells and need not be written down."""
        found: list[tuple[Batch, frozenset[Metric]]] = []
        for source in registry.known():
            in_cells = source.in_cells if isinstance(source, CountsInCells) else _NONE
            if in_cells and not all_of_them:
                continue
            try:
                found.extend((batch, in_cells) for batch in source.collect())
            except Exception as error:  # noqa: BLE001 -- a border: one source must not cost the others
                self._errors.note(error)
        return [*found, (Batch((), [self._errors.sample()]), _NONE)]

    def _serve(self) -> None:
        while True:
            try:
                self._door.settimeout(self._pause)
                line, _ = self._door.accept()
            except TimeoutError:
                self._write_down()
            except OSError:
                return
            else:
                self._answer(line)

    def _write_down(self) -> None:
        began = time.thread_time()
        try:
            self._mirror.write(self._batches(all_of_them=False))
        except Exception as error:  # noqa: BLE001 -- a border: the thread must live on
            self._errors.note(error)
        self._pause = max(_SHORTEST_PAUSE_SECONDS, (time.thread_time() - began) / _LARGEST_SHARE)

    def _answer(self, line: socket.socket) -> None:
        try:
            with line:
                line.settimeout(_ANSWER_SECONDS)
                line.sendall(json.dumps(encode(self.tell())).encode())
        except OSError:
            pass  # who asked has gone
        except Exception as error:  # noqa: BLE001 -- a border: the thread must live on
            self._errors.note(error)
