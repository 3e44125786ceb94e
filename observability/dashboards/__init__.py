"""Dashboards, one per file, generated with grafanalib. A new one is its file and one line here."""

from __future__ import annotations

from observability.dashboards import overview
from observability.dashboards.panel import Board

DASHBOARDS: tuple[Board, ...] = (overview.BOARD,)
