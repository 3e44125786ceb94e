"""
What is told about a SQLAlchemy connection pool.

`db.client.connection.*` are OpenTelemetry's semantic conventions
(https://opentelemetry.io/docs/specs/semconv/database/database-metrics/#connection-pools), with their names, units and
attributes; what they do not know is under `ha.pool`.
"""

from __future__ import annotations

from enum import StrEnum

from observability.errors import Reason
from observability.metrics import Metric

POOL = "db.client.connection.pool.name"
STATE = "db.client.connection.state"

QUICK = 0.001
"""The first bound of the wait histogram, in seconds."""
WAIT_BUCKETS = (QUICK, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
USE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
CREATE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Close(StrEnum):
    """Why a connection of a pool was closed."""

    INVALIDATED = "invalidated"
    RECYCLED = "recycled"
    OVERFLOW = "overflow"
    UNPOOLED = "unpooled"
    DISPOSED = "disposed"
    LOST = "lost"


class Invalidation(StrEnum):
    """Why a connection was invalidated."""

    DISCONNECT = "disconnect"
    PRE_PING = "pre_ping"
    CANCELLED = "cancelled"
    REQUESTED = "requested"
    ERROR = "error"


CONNECT_FAILURES = (
    Reason.REFUSED, Reason.UNREACHABLE, Reason.DNS, Reason.TLS, Reason.AUTH, Reason.DATABASE, Reason.PERMISSION,
    Reason.TOO_MANY_CONNECTIONS, Reason.STARTING, Reason.STOPPING, Reason.HUNG, Reason.CLOSED, Reason.ERROR,
)  # fmt: skip

COUNT = Metric(
    name="db.client.connection.count",
    kind="updowncounter",
    unit="{connection}",
    help="Connections of the live pool that are open now, by state: used or idle.",
    labels=(POOL, STATE),
)
IDLE_MAX = Metric(
    name="db.client.connection.idle.max",
    kind="updowncounter",
    unit="{connection}",
    help="Most idle connections that the pool keeps; absent where it sets no limit.",
    labels=(POOL,),
)
MAX = Metric(
    name="db.client.connection.max",
    kind="updowncounter",
    unit="{connection}",
    help="Most connections that the pool allows, overflow included; absent where it sets no limit.",
    labels=(POOL,),
)
PENDING = Metric(
    name="db.client.connection.pending_requests",
    kind="updowncounter",
    unit="{request}",
    help="Threads or tasks that wait now for a connection to be returned; absent where the pool lets nobody wait.",
    labels=(POOL,),
)
TIMEOUTS = Metric(
    name="db.client.connection.timeouts",
    kind="counter",
    unit="{timeout}",
    help="Requests for a connection that gave up because none was returned within the pool's timeout.",
    labels=(POOL,),
)
WAIT_TIME = Metric(
    name="db.client.connection.wait_time",
    kind="histogram",
    unit="s",
    help="How long each request for a connection took, those included that timed out, failed or were cancelled.",
    labels=(POOL,),
    buckets=WAIT_BUCKETS,
)
USE_TIME = Metric(
    name="db.client.connection.use_time",
    kind="histogram",
    unit="s",
    help="How long each connection was held, from the moment it was handed out until it was returned or detached.",
    labels=(POOL,),
    buckets=USE_BUCKETS,
)
CREATE_TIME = Metric(
    name="db.client.connection.create_time",
    kind="histogram",
    unit="s",
    help="How long it took to open each connection, without what the application does to set it up.",
    labels=(POOL,),
    buckets=CREATE_BUCKETS,
)

OVERFLOW = Metric(
    name="ha.pool.connections.overflow",
    kind="gauge",
    unit="{connection}",
    help="Connections beyond the pool's size, open or being opened; absent where the pool knows no overflow.",
    labels=(POOL,),
    across_workers="sum",
)
OPENING = Metric(
    name="ha.pool.connections.opening",
    kind="gauge",
    unit="{connection}",
    help="Places in the pool that are taken by somebody whose connection is still being opened.",
    labels=(POOL,),
    across_workers="sum",
)
DISPOSED = Metric(
    name="ha.pool.connections.disposed",
    kind="gauge",
    unit="{connection}",
    help="Connections that are still open although the pool they belong to was disposed of.",
    labels=(POOL,),
    across_workers="sum",
)
DETACHED_OPEN = Metric(
    name="ha.pool.connections.detached",
    kind="gauge",
    unit="{connection}",
    help="Connections that were detached from the pool and are still open.",
    labels=(POOL,),
    across_workers="sum",
)
SERVER_CONNECTIONS = Metric(
    name="ha.pool.server.connections",
    kind="gauge",
    unit="{connection}",
    help="Connections that are open now, by the server they lead to and the role it had when one was last returned.",
    labels=(POOL, "role", "server.address", "server.port"),
    across_workers="sum",
)
OLDEST_CHECKOUT = Metric(
    name="ha.pool.checkout.oldest.age",
    kind="gauge",
    unit="s",
    help="Age of the oldest checkout that has not been returned; absent while no connection is out.",
    labels=(POOL,),
    across_workers="max",
)
CHECKOUTS = Metric(
    name="ha.pool.checkouts",
    kind="counter",
    unit="{checkout}",
    help="Connections that the pool handed out.",
    labels=(POOL,),
)
CHECKINS = Metric(
    name="ha.pool.checkins",
    kind="counter",
    unit="{checkin}",
    help="Connections that came back to the pool.",
    labels=(POOL,),
)
CANCELLED_WAITS = Metric(
    name="ha.pool.waits.cancelled",
    kind="counter",
    unit="{request}",
    help="Requests for a connection that were cancelled or interrupted before they got one.",
    labels=(POOL,),
)
CONNECTS = Metric(
    name="ha.pool.connects",
    kind="counter",
    unit="{connection}",
    help="Connections that were opened.",
    labels=(POOL,),
)
FAILED_CONNECTS = Metric(
    name="ha.pool.connect.failures",
    kind="counter",
    unit="{failure}",
    help="Requests for a connection that failed because none could be opened, by reason.",
    labels=(POOL, "reason"),
)
CLOSES = Metric(
    name="ha.pool.closes",
    kind="counter",
    unit="{connection}",
    help="Connections that were closed, by reason; lost are those dropped without the pool closing them.",
    labels=(POOL, "reason"),
)
INVALIDATIONS = Metric(
    name="ha.pool.invalidations",
    kind="counter",
    unit="{connection}",
    help="Connections that were declared unusable, at once (hard) or on their next use (soft), by reason.",
    labels=(POOL, "kind", "reason"),
)
DETACHED = Metric(
    name="ha.pool.detached",
    kind="counter",
    unit="{connection}",
    help="Connections that left the pool for good while they were handed out.",
    labels=(POOL,),
)
COLLECTED = Metric(
    name="ha.pool.collected",
    kind="counter",
    unit="{connection}",
    help="Connections that nobody returned: the garbage collector found them.",
    labels=(POOL,),
)
PRE_PING_FAILURES = Metric(
    name="ha.pool.pre_ping.failures",
    kind="counter",
    unit="{failure}",
    help="Pooled connections that the test before use found dead.",
    labels=(POOL,),
)
DISCONNECTS = Metric(
    name="ha.pool.disconnects",
    kind="counter",
    unit="{error}",
    help="Statements that found their connection broken.",
    labels=(POOL,),
)
READ_ONLY_ERRORS = Metric(
    name="ha.pool.read_only.errors",
    kind="counter",
    unit="{error}",
    help="Statements that were refused because the server or the transaction takes no writes (SQLSTATE 25006).",
    labels=(POOL,),
)
LISTENER_ERRORS = Metric(
    name="ha.pool.listener.errors",
    kind="counter",
    unit="{error}",
    help="Errors inside this instrumentation, which the application did not notice; 0 unless it has a bug.",
    labels=(POOL,),
)

METRICS = (
    COUNT, IDLE_MAX, MAX, PENDING, TIMEOUTS, WAIT_TIME, USE_TIME, CREATE_TIME,
    OVERFLOW, OPENING, DISPOSED, DETACHED_OPEN, SERVER_CONNECTIONS, OLDEST_CHECKOUT,
    CHECKOUTS, CHECKINS, CANCELLED_WAITS, CONNECTS, FAILED_CONNECTS, CLOSES, INVALIDATIONS, DETACHED, COLLECTED,
    PRE_PING_FAILURES, DISCONNECTS, READ_ONLY_ERRORS, LISTENER_ERRORS,
)  # fmt: skip
