"""What a scraper accepts decides the format and the encoding of the page."""

from __future__ import annotations

import gzip
from collections.abc import Iterable

from observability.export.prometheus import OPENMETRICS, TEXT, render
from observability.metrics import Batch

_GZIP_LEVEL = 1
_MIN_GZIP_BYTES = 1_024


def page(batches: Iterable[Batch], *, accept: str, accept_encoding: str) -> tuple[dict[str, str], bytes]:
    """
    Headers and body of the exposition for a request's `Accept` and `Accept-Encoding`.

    gzip at level 1: for a page of metrics, higher levels cost several times as much and save little.
    """
    openmetrics = "application/openmetrics-text" in accept
    body = render(batches, openmetrics=openmetrics)
    headers = {"content-type": OPENMETRICS if openmetrics else TEXT, "vary": "Accept, Accept-Encoding"}
    if len(body) >= _MIN_GZIP_BYTES and _takes_gzip(accept_encoding):
        body = gzip.compress(body, _GZIP_LEVEL, mtime=0)
        headers["content-encoding"] = "gzip"
    return headers | {"content-length": str(len(body))}, body


def _takes_gzip(accept_encoding: str) -> bool:
    for each in accept_encoding.split(","):
        name, _, parameters = each.partition(";")
        if name.strip().lower() in {"gzip", "*"}:
            return parameters.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
