"""Where panels stand and which numbers they have: flowing in 24 columns, with ids that an insertion does not move."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from observability.dashboards.panel import COLUMNS, Panel
from observability.errors import DeclarationError


class Place(NamedTuple):
    """A rectangle in Grafana's grid."""

    x: int
    y: int
    width: int
    height: int


def flow(panels: Sequence[Panel], top: int) -> Iterator[tuple[Panel, Place]]:
    """Panels from left to right; what does not fit begins the next line, below the highest of this one."""
    x, y, height = 0, top, 0
    for panel in panels:
        if x + panel.width > COLUMNS:
            x, y, height = 0, y + height, 0
        yield panel, Place(x, y, panel.width, panel.height)
        x, height = x + panel.width, max(height, panel.height)


def bottom(places: Sequence[Place], top: int) -> int:
    """The first free row below `places`, or `top` when there are none."""
    return max((place.y + place.height for place in places), default=top)


class Numbers:
    """Ids of a board's panels and rows, each from its title alone."""

    def __init__(self, uid: str) -> None:
        self._uid = uid
        self._titles: dict[int, str] = {}

    def of(self, title: str) -> int:
        """
        The id that belongs to the title.

        Raises:
            DeclarationError: when another title has the same one; either must then be worded differently.

        """
        number = zlib.crc32(f"{self._uid}/{title}".encode()) & 0x7FFFFFFF or 1
        if self._titles.setdefault(number, title) != title:
            raise DeclarationError(f"dashboard {self._uid!r}: {title!r} and {self._titles[number]!r} have the same id")
        return number
