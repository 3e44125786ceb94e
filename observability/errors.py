"""
Everything this package raises on purpose.

The tree::

    ObservabilityError
    ├── DeclarationError(ValueError)     a metric, alert or dashboard is declared wrongly (found at import)
    ├── SettingsError                    the configuration has mistakes; carries all of them
    ├── InstrumentationError             an instrumentation cannot attach
    ├── TargetError                      a target did not give an answer; carries the `Reason`
    ├── LabError                         a piece of the lab is missing or does not start
    └── FailoverError                    the controller was asked for something it refuses
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """
    Why a target or a probe gave no samples: a short fixed list, so that it can be a label.

    `OK` is the reason of nothing; it exists so that the state of a target is one state set.
    """

    OK = "ok"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    DNS = "dns"
    TLS = "tls"
    AUTH = "auth"
    DATABASE = "database"
    PERMISSION = "permission"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    STARTING = "starting"
    STOPPING = "stopping"
    HUNG = "hung"
    SLOW = "slow"
    CLOSED = "closed"
    PROTOCOL = "protocol"
    STATUS = "status"
    LATE = "late"
    ERROR = "error"


class ObservabilityError(Exception):
    """The root: catch this to catch all that we raise on purpose."""


class DeclarationError(ObservabilityError, ValueError):
    """A metric, alert or dashboard is declared against the naming rules."""


class SettingsError(ObservabilityError):
    """
    The configuration has mistakes.

    `problems` holds one sentence for each, with its place and the way out.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class InstrumentationError(ObservabilityError):
    """An instrumentation cannot attach to what it was given."""


class TargetError(ObservabilityError):
    """
    A target did not answer, or not in a way that can be read.

    The message never holds a password: it is built from the reason and the driver's own short text.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class LabError(ObservabilityError):
    """A piece of the lab is missing or does not start; the message says how to get it."""


class FailoverError(ObservabilityError):
    """The failover controller refuses what it was asked for."""
