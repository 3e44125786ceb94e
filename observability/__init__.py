"""
Truthful metrics, proven alerts and safe failover for highly available stacks.

In a server::

    from observability import instrument, metrics_app

    instrument(engine, pool_name="core")
    app.mount("/metrics", metrics_app())

The names are imported when they are first used, so that `import observability` costs next to nothing.
"""

# Not from typing, which alone would cost more than all of this; type checkers know the name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from observability.exposition import holders_app, metrics_app, register, wsgi_metrics_app
    from observability.instrumentation.health.app import HealthApp, health_app
    from observability.instrumentation.health.check import HealthCheck
    from observability.instrumentation.pool.monitor import PoolMonitor, instrument
    from observability.instrumentation.requests.middleware import RequestMetrics
    from observability.instrumentation.runtime.monitor import RuntimeMetrics, runtime_metrics
    from observability.instrumentation.workers.membership import join_workers
    from observability.metrics import Batch, Histogram, Metric, Sample
    from observability.probes.probe import Probe

__all__ = [
    "Batch",
    "HealthApp",
    "HealthCheck",
    "Histogram",
    "Metric",
    "PoolMonitor",
    "Probe",
    "RequestMetrics",
    "RuntimeMetrics",
    "Sample",
    "health_app",
    "holders_app",
    "instrument",
    "join_workers",
    "metrics_app",
    "register",
    "runtime_metrics",
    "wsgi_metrics_app",
]

_HOMES = {
    "Batch": "observability.metrics",
    "HealthApp": "observability.instrumentation.health.app",
    "HealthCheck": "observability.instrumentation.health.check",
    "Histogram": "observability.metrics",
    "Metric": "observability.metrics",
    "PoolMonitor": "observability.instrumentation.pool.monitor",
    "Probe": "observability.probes.probe",
    "RequestMetrics": "observability.instrumentation.requests.middleware",
    "RuntimeMetrics": "observability.instrumentation.runtime.monitor",
    "Sample": "observability.metrics",
    "health_app": "observability.instrumentation.health.app",
    "holders_app": "observability.exposition",
    "instrument": "observability.instrumentation.pool.monitor",
    "join_workers": "observability.instrumentation.workers.membership",
    "metrics_app": "observability.exposition",
    "register": "observability.exposition",
    "runtime_metrics": "observability.instrumentation.runtime.monitor",
    "wsgi_metrics_app": "observability.exposition",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
