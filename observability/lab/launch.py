"""Starts pieces side by side, each as soon as the ones it needs are ready."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import NamedTuple, TypeAlias


class Piece(NamedTuple):
    """Something to start: `start` returns when it is ready, or raises `LabError`."""

    name: str
    start: Callable[[], None]
    needs: tuple[str, ...] = ()


class Ready(NamedTuple):
    """The news that a piece is ready, and the time it took."""

    name: str
    seconds: float


Listener: TypeAlias = Callable[[Ready], None]


def launch(pieces: Iterable[Piece], told: Listener, *, workers: int = 6) -> None:
    """
    Start all pieces.

    The first failure is raised when everything that was being started meanwhile has come to an end.
    """
    waiting = list(pieces)
    ready: set[str] = set()
    running: dict[Future[float], str] = {}
    with ThreadPoolExecutor(workers, thread_name_prefix="lab") as executor:
        while waiting or running:
            for piece in [piece for piece in waiting if ready.issuperset(piece.needs)]:
                waiting.remove(piece)
                running[executor.submit(_timed, piece.start)] = piece.name
            if not running:
                raise ValueError(f"nothing provides what {[piece.name for piece in waiting]} need")
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                name = running.pop(future)
                told(Ready(name, future.result()))
                ready.add(name)


def _timed(start: Callable[[], None]) -> float:
    began = time.monotonic()
    start()
    return time.monotonic() - began
