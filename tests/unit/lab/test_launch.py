"""Pieces start side by side, in the order of their needs, and a failure ends everything."""

from __future__ import annotations

import threading

import pytest

from observability.errors import LabError
from observability.lab.launch import Piece, Ready, launch


def test_a_piece_starts_after_what_it_needs() -> None:
    """Whatever order the pieces are given in, needs come first."""
    started: list[str] = []
    pieces = (
        Piece("roof", lambda: started.append("roof"), needs=("walls",)),
        Piece("walls", lambda: started.append("walls"), needs=("ground",)),
        Piece("ground", lambda: started.append("ground")),
    )
    launch(pieces, lambda _: None)
    assert started == ["ground", "walls", "roof"]


def test_independent_pieces_start_side_by_side() -> None:
    """Two pieces that wait for each other both get ready, so they ran at the same time."""
    meeting = threading.Barrier(2, timeout=10)
    told: list[Ready] = []
    launch((Piece("a", lambda: _meet(meeting)), Piece("b", lambda: _meet(meeting))), told.append)
    assert {news.name for news in told} == {"a", "b"}


def test_the_first_failure_is_raised_and_the_rest_abandoned() -> None:
    """A failing piece makes the others end and keeps those that need it from starting."""
    gone = threading.Event()
    started: list[str] = []
    pieces = (
        Piece("slow", lambda: _until(gone)),
        Piece("broken", lambda: _fail("it is broken")),
        Piece("later", lambda: started.append("later"), needs=("broken",)),
    )
    with pytest.raises(LabError, match="it is broken"):
        launch(pieces, lambda _: None, abandon=gone.set)
    assert started == []


def test_a_need_that_nobody_provides_is_an_error() -> None:
    """A wrong table does not hang."""
    with pytest.raises(ValueError, match="nothing provides"):
        launch((Piece("roof", lambda: None, needs=("walls",)),), lambda _: None)


def _meet(barrier: threading.Barrier) -> None:
    barrier.wait()


def _until(event: threading.Event) -> None:
    assert event.wait(timeout=10)


def _fail(message: str) -> None:
    raise LabError(message)
