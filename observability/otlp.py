"""Pushes samples to an OTLP endpoint at an interval, when the standard `OTEL_*` variables name one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from observability.metrics import Batch

logger = logging.getLogger(__name__)

_DEFAULT_INTERVAL_SECONDS = 60.0


def endpoint(env: Mapping[str, str]) -> str | None:
    """The endpoint, if any (https://opentelemetry.io/docs/specs/otel/protocol/exporter/)."""
    return env.get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT") or env.get("OTEL_EXPORTER_OTLP_ENDPOINT") or None


@asynccontextmanager
async def pushing(
    batches: Callable[[float], Awaitable[list[Batch]]], env: Mapping[str, str] = os.environ
) -> AsyncIterator[None]:
    """
    Push `batches(timeout)` at each interval while the context is open; do nothing where no endpoint is set.

    An endpoint that is slow or gone costs its own push: the next interval tries again, and no scrape waits for it.
    """
    if endpoint(env) is None or env.get("OTEL_METRICS_EXPORTER") == "none":
        yield
        return
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    exporter = OTLPMetricExporter()
    task = asyncio.create_task(_push_forever(exporter, batches, _interval_seconds(env)))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await asyncio.to_thread(exporter.shutdown)


def _interval_seconds(env: Mapping[str, str]) -> float:
    """What `OTEL_METRIC_EXPORT_INTERVAL` says in milliseconds; where that is no positive number, the usual minute."""
    text = env.get("OTEL_METRIC_EXPORT_INTERVAL") or _DEFAULT_INTERVAL_SECONDS * 1000
    try:
        seconds = float(text) / 1000
    except ValueError:
        seconds = math.nan
    if 0 < seconds < math.inf:
        return seconds
    logger.warning("OTEL_METRIC_EXPORT_INTERVAL is no positive number of milliseconds; pushing each minute")
    return _DEFAULT_INTERVAL_SECONDS


async def _push_forever(exporter: Any, batches: Callable[[float], Awaitable[list[Batch]]], interval: float) -> None:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from observability.export.otel import metrics_data

    resource = Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", "ha-observability-exporter")})
    scope = InstrumentationScope("ha-observability", version("ha-observability"))
    while True:
        await asyncio.sleep(interval)
        measured = await batches(interval * 0.8)
        data = metrics_data(measured, resource=resource, scope=scope, now=time.time())
        try:
            result = await asyncio.to_thread(exporter.export, data)
        except Exception:
            # The border around somebody else's exporter: what it raises costs this push, never the ones after it.
            logger.exception("OTLP push failed; the next one is in %g s", interval)
        else:
            if result.name != "SUCCESS":
                logger.warning("OTLP push failed; the next one is in %g s", interval)
