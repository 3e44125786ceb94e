"""What the HTTP probe makes of an answer."""

from __future__ import annotations

import pytest

from observability.connect.http import Response
from observability.errors import Reason, TargetError
from observability.metrics import Sample
from observability.probes import http


def test_expected_status() -> None:
    """Status and duration."""
    expected = [http.STATUS_CODE.sample(204), http.DURATION.sample(0.25)]
    assert expected == list(http.read(Response(204, True, 0.25)))


def test_unexpected_status() -> None:
    """The figures stand, and the probe fails with the reason `status`."""
    samples: list[Sample] = []
    with pytest.raises(TargetError, match="status 503 is not one that was expected") as raised:
        samples.extend(http.read(Response(503, False, 0.25)))
    assert samples == [http.STATUS_CODE.sample(503), http.DURATION.sample(0.25)]
    assert raised.value.reason is Reason.STATUS
