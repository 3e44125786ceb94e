"""The server that the tests of draining start as a process of its own, and end."""

from __future__ import annotations

import asyncio

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from observability import RequestMetrics, health_app, metrics_app

GRACE_SECONDS = 2.0
WORK_SECONDS = 0.1


async def work(_: Request) -> Response:
    """Answer after a moment."""
    await asyncio.sleep(WORK_SECONDS)
    return PlainTextResponse("done")


async def long_work(_: Request) -> Response:
    """Answer after longer than the time of grace."""
    await asyncio.sleep(GRACE_SECONDS + 1)
    return PlainTextResponse("done")


_endpoints = Starlette(routes=[Route("/work", work), Route("/long", long_work), Mount("/metrics", metrics_app())])
app = health_app(app=RequestMetrics(_endpoints), grace_seconds=GRACE_SECONDS)
patient = health_app(app=_endpoints, grace_seconds=3600)
abrupt = health_app(app=_endpoints, delay_sigterm=False)
