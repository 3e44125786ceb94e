"""
What is instrumented in this process, known weakly: a sink can find everything, and nothing is kept alive by being known.

A forked child starts from nothing: what its parent counted and holds is the parent's.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from observability.metrics import Batch, Metric

if TYPE_CHECKING:
    from observability.instrumentation.workers.cells import Cells

Source: TypeAlias = Callable[[], Iterable[Batch]]


class Instrumented(Protocol):
    """Something of this process that has samples to give."""

    def collect(self) -> Iterable[Batch]:
        """The samples of this moment."""

    def forget(self) -> None:
        """Start from nothing; called in the child after a fork."""


@runtime_checkable
class CountsInCells(Protocol):
    """What can count where it outlives this process. What cannot is written down now and then."""

    @property
    def in_cells(self) -> frozenset[Metric]:
        """The metrics that are counted there."""

    def count_in(self, cells: Cells) -> None:
        """Count there from now on, unless something was counted already."""


# Replaced as a whole and never changed, so that a reader needs no lock.
_known: tuple[weakref.ref[Instrumented], ...] = ()
_cells: Cells | None = None
_lock = threading.RLock()


def lock() -> threading.RLock:
    """Held by whoever instruments something or lets go of it."""
    return _lock


def add(instrumented: Instrumented) -> None:
    """Let the sinks of this process find `instrumented` for as long as it lives."""
    global _known  # noqa: PLW0603 -- a process has one set of engines, as it has one set of modules
    with _lock:
        _known = (*(ref for ref in _known if ref() is not None), weakref.ref(instrumented))
    offer_cells(instrumented)


def discard(instrumented: Instrumented) -> None:
    """Let the sinks of this process find `instrumented` no longer."""
    global _known  # noqa: PLW0603
    with _lock:
        _known = tuple(ref for ref in _known if ref() not in {None, instrumented})


def known() -> tuple[Instrumented, ...]:
    """Everything that is instrumented now, in the order in which it was."""
    return tuple(each for ref in _known if (each := ref()) is not None)


def count_in(cells: Cells | None) -> None:
    """Let everything that can count in `cells`, what becomes known later included; None ends that."""
    global _cells  # noqa: PLW0603
    _cells = cells
    for each in known():
        offer_cells(each)


def offer_cells(instrumented: Instrumented) -> None:
    """Let `instrumented` count in the cells of this process, if there are any; before it has counted anything."""
    if _cells is not None and isinstance(instrumented, CountsInCells):
        instrumented.count_in(_cells)


def sources() -> tuple[Source, ...]:
    """The sources of everything that is instrumented now."""
    return tuple(each.collect for each in known())


def _forget_the_parent() -> None:
    global _cells, _lock  # noqa: PLW0603
    _cells = None
    # Another thread of the parent may have held the lock; it does not exist here.
    _lock = threading.RLock()
    for each in known():
        each.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_the_parent)
