"""Errors of the instrumentation itself: counted, and logged once, so that the host neither notices nor drowns in them."""

from __future__ import annotations

import contextlib
import logging

from observability.metrics import Metric, Sample

_log = logging.getLogger("observability.instrumentation")

ERRORS = Metric(
    name="ha.instrumentation.errors",
    kind="counter",
    unit="{error}",
    help="Errors inside this instrumentation, which the application did not notice; 0 unless it has a bug.",
    labels=("part",),
)
METRICS = (ERRORS,)


class OwnErrors:
    """What went wrong inside one part of the instrumentation."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._count = 0

    def note(self, error: Exception) -> None:
        """Count an error, and log the first."""
        with contextlib.suppress(Exception):  # the last border: even a log handler may fail
            self._count += 1
            if self._count == 1:
                _log.warning(
                    "The instrumentation of %s failed (%s: %s); the application is not affected, but some figures are."
                    " This is said once; ha_instrumentation_errors_total counts on.",
                    self._part, type(error).__name__, error, exc_info=error,
                )  # fmt: skip

    def sample(self) -> Sample:
        """How many there were."""
        return Sample(ERRORS, self._count, (self._part,))
