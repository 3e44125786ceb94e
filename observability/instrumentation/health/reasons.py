"""Why a check failed: from what it raised to a short fixed list, which is safe to show and to count by."""

from __future__ import annotations

from typing import Final

from observability.errors import Reason
from observability.instrumentation.health.database import PoolExhaustedError

TIMEOUT: Final = "timeout"
"""There was no answer within the check's own timeout."""

STILL_RUNNING: Final = "still_running"
"""An earlier check had no answer in time and has not ended, so no other was begun."""

REFUTED: Final = "false"
"""The check gave False."""

EXHAUSTED: Final = "pool_exhausted"

_REDIS: Final = {
    "AuthenticationError": Reason.AUTH,
    "NoPermissionError": Reason.PERMISSION,
    "BusyLoadingError": Reason.STARTING,
    "MaxConnectionsError": EXHAUSTED,
    "MaxClientsError": Reason.TOO_MANY_CONNECTIONS,
    "TimeoutError": Reason.HUNG,
}


def reason(error: BaseException) -> str:
    """The reason of a failure; `error` where it is none that is known."""
    if isinstance(error, PoolExhaustedError):
        return EXHAUSTED
    kind = type(error)
    if kind.__module__ == "redis.exceptions" and kind.__name__ in _REDIS:
        return str(_REDIS[kind.__name__])
    from observability.instrumentation.pool.reasons import Outcome, outcome

    found = outcome(error)
    return (
        {Outcome.TIMED_OUT: EXHAUSTED, Outcome.CANCELLED: TIMEOUT}[found] if isinstance(found, Outcome) else found.value
    )
