"""From what a socket or TLS raises to the short list of reasons that all drivers share."""

from __future__ import annotations

import errno
import socket
import ssl

from observability.errors import Reason, TargetError
from observability.probes.probe import Failure

_UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EADDRNOTAVAIL}


def network_reason(error: BaseException) -> Reason | None:
    """The reason when it is the network's or TLS's doing, None when only the driver can tell."""
    if isinstance(error, TargetError):
        return error.reason
    if isinstance(error, ssl.SSLError):
        return Reason.TLS
    if isinstance(error, socket.gaierror):
        return Reason.DNS
    if isinstance(error, TimeoutError):
        return Reason.HUNG
    if isinstance(error, ConnectionRefusedError):
        return Reason.REFUSED
    if isinstance(error, ConnectionError | EOFError):
        return Reason.CLOSED
    if isinstance(error, OSError):
        return (
            Reason.UNREACHABLE if error.errno in _UNREACHABLE else Reason.REFUSED if _refused(error) else Reason.ERROR
        )
    return None


def _refused(error: OSError) -> bool:
    """Several addresses were tried and each refused: asyncio then raises one OSError with all texts."""
    return "Connect call failed" in str(error)


def failure(error: BaseException, reason: Reason, seconds: float) -> Failure:
    """A failure with the first line of the driver's text, which names no secret."""
    text = next(iter(str(error).strip().splitlines()), "")
    if isinstance(error, TimeoutError) and not text:
        return Failure(reason, f"no answer within {seconds:.3g} s", seconds)
    return Failure(reason, f"{type(error).__name__}: {text}" if text else type(error).__name__, seconds)
