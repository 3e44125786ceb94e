"""Where in the application's code a connection was taken."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

_DEPTH: Final = 3
"""How many callers are told: a helper that opens sessions is the same everywhere, its callers are not."""
_FRAMES: Final = 60
"""How far to look for them."""
_PLUMBING: Final = (
    "sqlalchemy", "asyncio", "concurrent", "contextlib", "threading", "greenlet", "uvloop",
    "observability.instrumentation",
)  # fmt: skip


def place() -> tuple[str, ...]:
    """The callers that asked for a connection, the innermost first: `app/orders.py:42 in place_order`."""
    found = []
    for frame in _frames(sys._getframe(1)):  # noqa: SLF001 -- the documented way to the own stack
        module = frame.f_globals.get("__name__", "")
        code = frame.f_code
        if code.co_filename.startswith("<") or _is_plumbing(module):
            continue
        found.append(f"{code.co_filename}:{frame.f_lineno} in {code.co_name}")
        if len(found) == _DEPTH:
            break
    return tuple(found)


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    """
    The stack outwards, through the greenlet in which SQLAlchemy runs synchronous code under asyncio.

    The stack of a greenlet ends at its start; its parent waits in the coroutine that called it.
    """
    parent = _parent()
    for _ in range(_FRAMES):
        if frame is None:
            if parent is None:
                return
            frame, parent = parent.gr_frame, parent.parent
            continue
        yield frame
        frame = frame.f_back


def _parent() -> Any:
    greenlet: Any = sys.modules.get("greenlet")
    return greenlet.getcurrent().parent if greenlet else None


def _is_plumbing(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in _PLUMBING)
