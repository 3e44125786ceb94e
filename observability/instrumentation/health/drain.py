"""Lets a server say that it will go before it goes, so that the balancer sends its requests elsewhere first."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

_log = logging.getLogger("observability.instrumentation")


class TerminationDelay:
    """
    Stands before the server's own handler of SIGTERM, and passes the signal on when the time of grace is over.

    Another SIGTERM within that time changes nothing: supervisors signal whole groups, and so one process twice.
    """

    def __init__(self, begin: Callable[[], float]) -> None:
        self._begin = begin
        self._loop: asyncio.AbstractEventLoop | None = None
        self._before: Any = None
        self._told = False

    def install(self) -> bool:
        """Stand before the handler that there is now; whether that can be done."""
        if threading.current_thread() is not threading.main_thread():
            return False
        before = signal.getsignal(signal.SIGTERM)
        if before == self._handle:
            self._loop = asyncio.get_running_loop()
            return True
        if before is None or _is_of_a_loop(before):
            _log.warning(
                "SIGTERM is handled by the event loop, so readiness cannot be taken back before the server ends by it;"
                " call drain() and wait before you end it."
            )
            return False
        self._loop = asyncio.get_running_loop()
        self._before = before
        signal.signal(signal.SIGTERM, self._handle)
        return True

    def remove(self) -> None:
        """Give the signal back to the handler from before."""
        if signal.getsignal(signal.SIGTERM) == self._handle:
            signal.signal(signal.SIGTERM, self._before)
        self._loop = None

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self._loop is None or self._loop.is_closed():
            self._pass_on()
        elif not self._told:
            self._told = True
            # A signal may come at any moment, in the middle of anything.
            self._loop.call_soon_threadsafe(self._wait)

    def _wait(self) -> None:
        asyncio.get_running_loop().call_later(self._begin(), self._pass_on)

    def _pass_on(self) -> None:
        if signal.getsignal(signal.SIGTERM) == self._handle:
            signal.signal(signal.SIGTERM, self._before)
            self._told = False
            signal.raise_signal(signal.SIGTERM)


def _is_of_a_loop(handler: object) -> bool:
    """Whether `loop.add_signal_handler` has set it: such a loop hears of the signal past any handler of Python."""
    module = getattr(handler, "__module__", None) or ""
    return module.startswith(("asyncio.", "uvloop"))
