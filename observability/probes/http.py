"""Whether an HTTP endpoint answers as it should, and how fast."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from observability.errors import Reason, TargetError
from observability.metrics import Metric, Sample
from observability.probes.probe import Probe

STATUS_CODE = Metric(
    name="ha.http.response.status_code",
    kind="gauge",
    help="Status code of the last answer; absent when none came.",
    compat="probe_http_status_code",
)
DURATION = Metric(
    name="ha.http.request.duration",
    kind="gauge",
    unit="s",
    help="Time from sending the request to the last byte of the answer, connecting included where it was needed.",
)


class Response(Protocol):
    """What the connection hands over."""

    @property
    def status(self) -> int: ...  # noqa: D102
    @property
    def expected(self) -> bool: ...  # noqa: D102
    @property
    def seconds(self) -> float: ...  # noqa: D102


def read(response: Response) -> Iterator[Sample]:
    """
    The answer's samples.

    Raises:
        TargetError: after them, when the status is not one that was expected: the probe has failed, the figures stand.

    """
    yield STATUS_CODE.sample(response.status)
    yield DURATION.sample(response.seconds)
    if not response.expected:
        raise TargetError(Reason.STATUS, f"status {response.status} is not one that was expected")


METRICS = (STATUS_CODE, DURATION)
PROBE = Probe("http.response", "http", "GET", read, METRICS)
