"""What the workers that have ended had counted, added up in one file: however many there were, it does not grow."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from observability.instrumentation.workers.rows import Row, decode, encode


class Ended(NamedTuple):
    """
    The ended workers of a server.

    `seats` has, for each seat, the number of its last worker that is in `rows`. `run` is the server's own identity: who
    finds another's, and nobody of it alive, begins anew.
    """

    run: str
    since: float
    seats: Mapping[int, int]
    rows: tuple[Row, ...]


def read(path: Path) -> Ended | None:
    """What is written there, None if nothing is."""
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    seats = {int(seat): number for seat, number in document["seats"].items()}
    return Ended(document["run"], document["since"], seats, tuple(decode(document)))


def write(path: Path, ended: Ended) -> None:
    """Put `ended` in place of what was there, at once or not at all."""
    document = {"run": ended.run, "since": ended.since, "seats": dict(ended.seats), **encode(ended.rows)}
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps(document))
    fresh.replace(path)
