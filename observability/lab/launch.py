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


def launch(
    pieces: Iterable[Piece], told: Listener, *, abandon: Callable[[], None] = lambda: None, workers: int = 6
) -> None:
    """
    Start all pieces.

    Args:
        pieces: what to start, in any order.
        told: hears of each piece that is ready.
        abandon: called at the first failure and at an interruption; it must make every `start` under way end soon.
        workers: how many to start at the same time.

    """
    with ThreadPoolExecutor(workers, thread_name_prefix="lab") as executor:
        try:
            _launch(list(pieces), told, executor)
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            abandon()
            raise


def _launch(waiting: list[Piece], told: Listener, executor: ThreadPoolExecutor) -> None:
    ready: set[str] = set()
    running: dict[Future[float], str] = {}
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
