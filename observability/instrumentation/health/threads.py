"""Runs a function in a thread of its own, which a hung function keeps without keeping anything else."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any


class Errand:
    """
    A function in a thread, for asyncio.

    Not an executor: its threads are few, so that hung ones keep others waiting, and the interpreter waits for them at its
    end.
    """

    def __init__(self, function: Callable[[], Any], name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[Any] = self._loop.create_future()
        self.over = False
        """Whether the function has ended, which it need not have when the answer is cancelled."""
        self._function = function
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        result, error = None, None
        try:
            result = self._function()
        except BaseException as raised:  # noqa: BLE001 -- whatever it raises is the answer
            error = raised
        self.over = True
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants to know any more
            self._loop.call_soon_threadsafe(self._tell, result, error)

    def _tell(self, result: Any, error: BaseException | None) -> None:
        if self.answer.done():
            return
        if error is None:
            self.answer.set_result(result)
        elif isinstance(error, Exception) and not isinstance(error, StopIteration):
            self.answer.set_exception(error)
        else:
            # A future takes no StopIteration, and SystemExit would end the event loop.
            self.answer.set_exception(RuntimeError(f"the function raised {type(error).__name__}"))
