"""What can be attached to an engine to watch its pool: ours, its peers, and the least that listening can cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

Attach = Callable[[Engine], object]


def bare(_: Engine) -> None:
    """Nothing: the pool alone."""


def floor(engine: Engine) -> None:
    """Two listeners that do nothing: what it costs to be told of a checkout and a checkin."""
    event.listen(engine, "checkout", lambda _connection, _record, _proxy: None)
    event.listen(engine, "checkin", lambda _connection, _record: None)


def ours(engine: Engine) -> object:
    """Ours, with everything that is on by default: that is all but the places of checkouts."""
    from observability import instrument

    return instrument(engine, pool_name="bench")


def ours_debug(engine: Engine) -> object:
    """Ours, and where in the code each connection was taken."""
    from observability import instrument

    return instrument(engine, pool_name="bench", debug=True)


def prometheus(engine: Engine) -> object:
    """prometheus_client as well as one can use it: its children are looked up once."""
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

    registry = CollectorRegistry()
    checkouts = Counter("checkouts", "Checkouts.", ["pool"], registry=registry).labels("bench")
    checkins = Counter("checkins", "Checkins.", ["pool"], registry=registry).labels("bench")
    used = Gauge("used", "Used connections.", ["pool"], registry=registry).labels("bench")
    use_time = Histogram("use_seconds", "Use time.", ["pool"], registry=registry).labels("bench")

    def checkout(_connection: object, record: Any, _proxy: object) -> None:
        record.info["taken"] = time.perf_counter()
        checkouts.inc()
        used.inc()

    def checkin(_connection: object, record: Any) -> None:
        checkins.inc()
        used.dec()
        use_time.observe(time.perf_counter() - record.info["taken"])

    event.listen(engine, "checkout", checkout)
    event.listen(engine, "checkin", checkin)
    return registry


def opentelemetry(engine: Engine) -> object:
    """OpenTelemetry's instrumentation: one metric, used and idle. It declares itself unfit for SQLAlchemy 2.1."""
    from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    instrumentor = SQLAlchemyInstrumentor()
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()  # it takes no second engine: it says so in the log, and does nothing
    instrumentor.instrument(engine=engine, meter_provider=MeterProvider([reader]), skip_dep_check=True)
    return reader


def letta(engine: Engine) -> object:
    """The shape of Letta's DatabasePoolMonitor, written anew: every event sets gauges and adds to counters."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    _LettaShape(engine.pool, MeterProvider([reader]).get_meter("letta"))
    return reader


PEERS: dict[str, Attach] = {
    "bare pool": bare,
    "floor: two empty listeners": floor,
    "ours": ours,
    "ours, debug": ours_debug,
    "prometheus_client, prebound": prometheus,
    "OpenTelemetry": opentelemetry,
    "Letta's shape": letta,
}


class _LettaShape:
    """Its listeners stay with the pool that it was given; its waiters are those of threads only."""

    def __init__(self, pool: Any, meter: Any) -> None:
        self.pool = pool
        self.gauges = {
            name: meter.create_gauge(name)
            for name in ("in_use", "utilization", "waiters", "total", "checked_out", "available", "overflow")
        }
        self.events = meter.create_counter("events")
        self.held = meter.create_histogram("held_ms")
        for name in ("checkout", "checkin", "reset", "connect", "close", "invalidate"):
            event.listen(pool, name, getattr(self, name))

    def attributes(self) -> dict[str, str]:
        """Built for each event, as request attributes are added to it."""
        return {"engine_name": "core", "pool_mode": "client_pooling_enabled"}

    def show(self, *names: str) -> None:
        """Set the gauges: what was never opened counts as used."""
        queue = self.pool._pool  # noqa: SLF001
        available = queue.qsize()
        used = queue.maxsize - available
        values = {
            "in_use": used,
            "utilization": used / max(1, queue.maxsize),
            "waiters": len(getattr(getattr(queue, "not_empty", None), "_waiters", ())),
            "total": queue.maxsize,
            "checked_out": used,
            "available": available,
            "overflow": self.pool.overflow(),
        }
        for name in names:
            self.gauges[name].set(values[name], self.attributes())

    def checkout(self, _connection: object, record: Any, _proxy: object) -> None:
        """A connection is handed out."""
        record.info["taken"] = time.perf_counter()
        self.show(*self.gauges)
        self.events.add(1, {**self.attributes(), "event": "checkout"})

    def checkin(self, _connection: object, record: Any) -> None:
        """A connection comes back."""
        self.held.record((time.perf_counter() - record.info.get("taken", 0)) * 1000, self.attributes())
        self.show("in_use", "utilization", "checked_out", "available")
        self.events.add(1, {**self.attributes(), "event": "checkin"})

    def reset(self, *_: object) -> None:
        """A connection is rolled back."""
        self.events.add(1, {**self.attributes(), "event": "reset"})

    def connect(self, *_: object) -> None:
        """A connection is opened."""
        self.events.add(1, {**self.attributes(), "event": "connect"})

    def close(self, *_: object) -> None:
        """A connection is closed."""
        self.events.add(1, {**self.attributes(), "event": "close"})

    def invalidate(self, *_: object) -> None:
        """A connection is unusable."""
        self.events.add(1, {**self.attributes(), "event": "invalidate"})


class FakeConnection:
    """A DBAPI connection that does nothing, so that only the pool is measured."""

    _connection = None
    """What an adapter for asyncio calls the connection of its driver."""

    def rollback(self) -> None:
        """Nothing."""

    def commit(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


@contextmanager
def quiet_collector() -> Iterator[None]:
    """Without garbage collections, which come when they come."""
    import gc

    gc.collect()
    gc.disable()
    yield
    gc.enable()
