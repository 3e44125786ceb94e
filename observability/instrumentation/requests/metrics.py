"""
What is told about requests.

`http.server.*` are OpenTelemetry's semantic conventions (https://opentelemetry.io/docs/specs/semconv/http/http-metrics/),
with their names, units, attributes and buckets; what they do not know is under `ha.`. An attribute that a request does not
have is empty, which to Prometheus is the same as absent.
"""

from __future__ import annotations

from observability.metrics import Metric

ERROR = "error.type"
METHOD = "http.request.method"
STATUS = "http.response.status_code"
ROUTE = "http.route"
SCHEME = "url.scheme"

OTHER = "_OTHER"
"""The conventions' word for a value that is not told apart from others."""

METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})
"""Methods that the conventions know: RFC 9110, RFC 5789, and QUERY."""

SCHEMES = frozenset({"http", "https", "ws", "wss"})

CLIENT_DISCONNECTED = "client_disconnected"
CANCELLED = "cancelled"
INCOMPLETE = "incomplete_response"
REJECTED = "rejected"

DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
SOCKET_BUCKETS = (0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0)

DURATION = Metric(
    name="http.server.request.duration",
    kind="histogram",
    unit="s",
    help="How long each request took until the last byte of its answer was handed over, background tasks left out.",
    labels=(ERROR, METHOD, STATUS, ROUTE, SCHEME),
    buckets=DURATION_BUCKETS,
)
ACTIVE = Metric(
    name="http.server.active_requests",
    kind="updowncounter",
    unit="{request}",
    help="Requests that are being answered now.",
    labels=(METHOD, SCHEME),
)
OLDEST = Metric(
    name="ha.http.server.oldest_request.age",
    kind="gauge",
    unit="s",
    help="Age of the oldest request that is being answered now, by route; absent while there is none.",
    labels=(ROUTE,),
    across_workers="max",
)
FIRST_BYTE = Metric(
    name="ha.http.server.time_to_first_byte",
    kind="histogram",
    unit="s",
    help="How long it took until the first byte of the body of each answer that is sent in several parts.",
    labels=(METHOD, ROUTE),
    buckets=DURATION_BUCKETS,
)
EXCEPTIONS = Metric(
    name="ha.http.server.exceptions",
    kind="counter",
    unit="{exception}",
    help="Exceptions that left the application, those included that came after the answer was complete.",
    labels=(ERROR, ROUTE),
)
SOCKETS = Metric(
    name="ha.websocket.active_connections",
    kind="updowncounter",
    unit="{connection}",
    help="WebSocket connections that are open now.",
    labels=(ROUTE, SCHEME),
)
SOCKET_DURATION = Metric(
    name="ha.websocket.connection.duration",
    kind="histogram",
    unit="s",
    help="How long each WebSocket connection lasted, those included that were rejected.",
    labels=(ERROR, ROUTE, SCHEME),
    buckets=SOCKET_BUCKETS,
)

METRICS = (DURATION, ACTIVE, OLDEST, FIRST_BYTE, EXCEPTIONS, SOCKETS, SOCKET_DURATION)
