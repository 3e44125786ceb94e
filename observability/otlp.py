"""Pushes samples to an OTLP endpoint at an interval, when the standard `OTEL_*` variables name one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
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
    interval = float(env.get("OTEL_METRIC_EXPORT_INTERVAL", _DEFAULT_INTERVAL_SECONDS * 1000)) / 1000
    task = asyncio.create_task(_push_forever(exporter, batches, interval))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await asyncio.to_thread(exporter.shutdown)


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
        result = await asyncio.to_thread(exporter.export, data)
        if result.name != "SUCCESS":
            logger.warning("OTLP push failed; the next one is in %g s", interval)
