"""
The exporter's web application: `/metrics`, `/probe?target=NAME&debug=1`, `/-/healthy`, `/-/ready` and a landing page.

Its own health is not its targets' health: a dead target is `ha_target_up 0` on `/metrics`, never an error of `/metrics`.
"""

from __future__ import annotations

import html
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from observability.connect import Target, open_connection, prepare
from observability.export.negotiation import page
from observability.export.prometheus import render
from observability.metrics import Batch
from observability.otlp import pushing
from observability.probes.probe import Failure
from observability.scrape import EXPORTER_INFO, EXPORTER_START_TIME, Look, Scraper

DEADLINE_HEADER = "x-prometheus-scrape-timeout-seconds"
"""How long Prometheus will wait (https://prometheus.io/docs/prometheus/latest/configuration/configuration/)."""

_DEFAULT_TIMEOUT_SECONDS = 9.5
_OFFSET_SECONDS = 0.5
_OFFSET_SHARE = 0.2


class Exporter:
    """The application's state: the scraper, and when it all began."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self.scraper = Scraper(targets, open_connection)  # type: ignore[arg-type]  # connect's Target is the only one
        self._version = version("ha-observability")
        self._about = Batch((), [EXPORTER_INFO.sample(1, self._version), EXPORTER_START_TIME.sample(time.time())])

    async def batches(self, timeout: float) -> list[Batch]:
        """All samples of one scrape, and the exporter's own."""
        return [*await self.scraper.scrape(timeout), self._about]

    async def metrics(self, request: Request) -> Response:
        """Everything, within the deadline that Prometheus names."""
        return exposition(request, await self.batches(deadline(request)))

    async def probe(self, request: Request) -> Response:
        """One configured target; with `debug=1` what was asked, answered and made of it."""
        name = request.query_params.get("target", "")
        watcher = self.scraper.watchers.get(name)
        if watcher is None:
            known = ", ".join(sorted(self.scraper.watchers)) or "none"
            return PlainTextResponse(f"No target is called {name!r}. Configured: {known}.\n", status_code=404)
        look = await watcher.look(deadline(request))
        if request.query_params.get("debug") in {"1", "true"}:
            return PlainTextResponse(explain(look))
        return exposition(request, [Batch(look.target.attributes, look.samples)])

    async def landing(self, _: Request) -> Response:
        """What this is and where to look."""
        items = "".join(
            f'<li>{html.escape(watcher.target.cluster)} · <a href="/probe?target={quote(name, safe="")}&amp;debug=1">'
            f"{html.escape(name)}</a> ({watcher.target.system})</li>"
            for name, watcher in sorted(self.scraper.watchers.items())
        )
        return HTMLResponse(_PAGE.format(version=html.escape(self._version), items=items))


def application(targets: Sequence[Target]) -> Starlette:
    """The ASGI application for `targets`; connections open at the first scrape and close with the application."""
    exporter = Exporter(targets)
    prepare(targets)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        otlp: AbstractAsyncContextManager[None] = pushing(exporter.batches)
        async with otlp:
            yield
        await exporter.scraper.close()

    return Starlette(
        routes=[
            Route("/", exporter.landing),
            Route("/metrics", exporter.metrics),
            Route("/probe", exporter.probe),
            Route("/-/healthy", _fine),
            Route("/-/ready", _fine),
        ],
        lifespan=lifespan,
    )


def deadline(request: Request) -> float:
    """Seconds that this scrape may take: Prometheus's own timeout less what the way back needs."""
    try:
        timeout = float(request.headers.get(DEADLINE_HEADER, ""))
    except ValueError:
        return _DEFAULT_TIMEOUT_SECONDS
    if not 0 < timeout < 3_600:  # noqa: PLR2004 -- an hour: nobody waits so long, and NaN is refused too
        return _DEFAULT_TIMEOUT_SECONDS
    return timeout - min(_OFFSET_SECONDS, timeout * _OFFSET_SHARE)


def exposition(request: Request, batches: list[Batch]) -> Response:
    """The samples in the format and encoding that the request accepts."""
    wanted = request.headers
    headers, body = page(batches, accept=wanted.get("accept", ""), accept_encoding=wanted.get("accept-encoding", ""))
    return Response(body, headers=headers)


def explain(look: Look) -> str:
    """A look in words: each question with its answer and time, then the samples that were made of it."""
    lines = [
        f"target {look.target.name} ({look.target.system}, cluster {look.target.cluster})",
        f"state  {look.reason}   took {look.seconds * 1000:.1f} ms",
        "",
    ]
    for question, outcome in look.outcomes.items():
        text = question if isinstance(question, str) else " ".join(question)
        lines += [f"asked    {text.strip()}", f"took     {outcome.seconds * 1000:.1f} ms"]
        if isinstance(outcome, Failure):
            lines += [f"failed   {outcome.reason}: {outcome.message}", ""]
        else:
            lines += [f"answered {json.dumps(_plain(outcome.value), default=str, indent=2)}", ""]
    lines += [f"note     {note}\n" for note in look.notes]
    page = render([Batch(look.target.attributes, look.samples)]).decode()
    return "\n".join([*lines, "samples", page])


def _plain(value: Any) -> Any:
    """An answer as JSON knows it: rows and named tuples as objects."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if hasattr(value, "_asdict"):
        return value._asdict()
    return dict(value.items()) if hasattr(value, "items") else value


async def _fine(_: Request) -> Response:
    return PlainTextResponse("OK\n")


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>ha-observability exporter</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:48rem;margin:3rem auto;padding:0 1rem}}</style>
<h1>ha-observability exporter</h1>
<p>Version {version}. Prometheus scrapes <a href="/metrics">/metrics</a>.</p>
<h2>Targets</h2>
<ul>{items}</ul>
<p>Each link shows what was asked of the target, what it answered, and the samples made of it.</p>
<p><a href="/-/healthy">/-/healthy</a> · <a href="/-/ready">/-/ready</a></p>
</html>
"""
