"""How long a scrape may take, and in which form its answer goes out."""

from __future__ import annotations

import gzip

import pytest
from starlette.requests import Request

from observability.connect import Target
from observability.errors import Reason
from observability.export.prometheus import OPENMETRICS, TEXT
from observability.exporter import deadline, explain, exposition
from observability.metrics import Batch
from observability.probes.postgres.timeline import TIMELINE
from observability.probes.probe import Answer, Failure
from observability.scrape import Look


def request(**headers: str) -> Request:
    """A request with these headers."""
    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": "/metrics", "query_string": b"", "headers": raw})


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        pytest.param("10", 9.5, id="Prometheus' usual timeout"),
        pytest.param("10.000000", 9.5, id="as Prometheus writes it"),
        pytest.param("1", 0.8, id="one second"),
        pytest.param("0.5", 0.4, id="half a second"),
        pytest.param("2.5", 2.0, id="where both offsets meet"),
        pytest.param(None, 9.5, id="no header"),
        pytest.param("", 9.5, id="empty"),
        pytest.param("soon", 9.5, id="no number"),
        pytest.param("0", 9.5, id="zero"),
        pytest.param("-1", 9.5, id="negative"),
        pytest.param("nan", 9.5, id="NaN"),
        pytest.param("inf", 9.5, id="infinite"),
        pytest.param("1e9", 9.5, id="decades"),
    ],
)
def test_deadline(header: str | None, seconds: float) -> None:
    """Prometheus' own timeout less what the way back needs; the usual one where it names none that makes sense."""
    headers = {} if header is None else {"x_prometheus_scrape_timeout_seconds": header}
    assert seconds == pytest.approx(deadline(request(**headers)))


MANY = [Batch((("server", str(number)),), [TIMELINE.sample(number)]) for number in range(100)]


@pytest.mark.parametrize(
    ("headers", "content_type", "encoding"),
    [
        pytest.param({}, TEXT, None, id="nothing asked for"),
        pytest.param({"accept": "text/html"}, TEXT, None, id="a browser"),
        pytest.param({"accept": "application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1"}, OPENMETRICS, None, id="openmetrics"),
        pytest.param({"accept_encoding": "gzip"}, TEXT, "gzip", id="gzip"),
        pytest.param({"accept_encoding": "deflate"}, TEXT, None, id="another encoding"),
    ],
)  # fmt: skip
def test_negotiation(headers: dict[str, str], content_type: str, encoding: str | None) -> None:
    """Format and encoding are what the request accepts."""
    response = exposition(request(**headers), MANY)
    body = gzip.decompress(bytes(response.body)) if encoding else bytes(response.body)
    told = (response.headers["content-type"], response.headers.get("content-encoding"), response.headers["vary"])
    assert told == (content_type, encoding, "Accept, Accept-Encoding")
    assert body.endswith(b"# EOF\n") == (content_type == OPENMETRICS)
    assert body.count(b"\nha_postgres_timeline{") == 100


def test_small_answers_are_not_compressed() -> None:
    """Compressing a few lines costs more than it saves."""
    assert "content-encoding" not in exposition(request(accept_encoding="gzip"), MANY[:1]).headers


def test_explain() -> None:
    """What was asked, answered and made of it, in words."""
    look = Look(
        Target(name="pg-1", system="postgres", cluster="demo"),
        [TIMELINE.sample(7)],
        {
            "\nSELECT 1\n": Answer([{"a": 1}], 0.0015),
            ("INFO", "everything"): Failure(Reason.SLOW, "it took too long", 1.0),
        },
        Reason.OK,
        0.25,
        ("postgres.senders: hidden",),
    )
    assert (
        explain(look)
        == """\
target pg-1 (postgres, cluster demo)
state  ok   took 250.0 ms

asked    SELECT 1
took     1.5 ms
answered [
  {
    "a": 1
  }
]

asked    INFO everything
took     1000.0 ms
failed   slow: it took too long

note     postgres.senders: hidden

samples
# HELP ha_postgres_timeline Timeline that the server writes or follows; a promotion makes it one higher.
# TYPE ha_postgres_timeline gauge
ha_postgres_timeline{cluster="demo",server="pg-1"} 7.0
"""
    )
