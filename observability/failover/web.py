"""
The controller's web application.

`POST /webhook/alertmanager` and, for people and programs with the token, `/`, `/incidents/ID`, `/api/incidents`,
`/api/incidents/ID`; open to all `/metrics`, `/-/healthy`, `/-/ready`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from observability.errors import FailoverError
from observability.export.negotiation import page as exposition
from observability.failover import page, words
from observability.failover.admission import Admission, RefusedError
from observability.failover.controller import Controller
from observability.failover.webhook import MAX_BYTES, WebhookError, parse

logger = logging.getLogger(__name__)

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]

_PRIVATE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Web:
    """The endpoints over one controller."""

    def __init__(self, controller: Controller, admission: Admission) -> None:
        self.controller = controller
        self.admission = admission
        self.running: asyncio.Task[None] | None = None

    async def alertmanager(self, request: Request) -> Response:
        """Take a webhook: on disk first, then 2xx at once; looking and deciding come after."""
        try:
            self.admission.require_token(request)
            self.admission.require_room()
            recorded = await self.controller.receive(parse(await self.admission.body(request, limit=MAX_BYTES)))
        except RefusedError as error:
            return self._refuse(request, error)
        except WebhookError as error:
            return self._refuse(request, RefusedError(400, "malformed", str(error)))
        except FailoverError as error:
            # Alertmanager tries again after a 5xx, and that is right: nothing is on disk.
            return self._refuse(request, RefusedError(503, "not_stored", str(error)))
        return JSONResponse({"opened": recorded.opened, "resolved": recorded.resolved, "repeated": recorded.repeated})

    async def overview(self, _: Request) -> Response:
        """The incidents for people."""
        incidents = await self.controller.journal.incidents()
        return HTMLResponse(page.overview(incidents, mode=self.controller.mode, clusters=self.controller.clusters))

    async def detail(self, request: Request) -> Response:
        """One incident for people."""
        incident = await self.controller.journal.incident(request.path_params["id"])
        if incident is None:
            return PlainTextResponse("There is no such incident.\n", status_code=404)
        return HTMLResponse(page.detail(incident, await self.controller.journal.entries(incident.id)))

    async def incidents(self, _: Request) -> Response:
        """The incidents for programs."""
        return JSONResponse({"incidents": [words.as_json(each) for each in await self.controller.journal.incidents()]})

    async def incident(self, request: Request) -> Response:
        """One incident for programs, with every entry."""
        incident = await self.controller.journal.incident(request.path_params["id"])
        if incident is None:
            return JSONResponse({"error": "there is no such incident"}, status_code=404)
        entries = await self.controller.journal.entries(incident.id)
        told = [{"at": each.at, "kind": each.kind, "body": json.loads(each.body)} for each in entries]
        return JSONResponse({**words.as_json(incident), "entries": told})

    async def metrics(self, request: Request) -> Response:
        """The controller's own metrics."""
        accepts, encodings = (request.headers.get(name, "") for name in ("accept", "accept-encoding"))
        headers, body = exposition(self.controller.batches(), accept=accepts, accept_encoding=encodings)
        return Response(body, headers=headers)

    async def ready(self, _: Request) -> Response:
        """Whether alerts are taken and decided about: the journal answers and the controller runs."""
        if self.running is None or self.running.done():
            return PlainTextResponse("The controller does not run.\n", status_code=503)
        try:
            await self.controller.journal.ping()
        except FailoverError as error:
            return PlainTextResponse(f"{error}\n", status_code=503)
        return PlainTextResponse("OK\n")

    def private(self, endpoint: Endpoint) -> Endpoint:
        """Only with the token, and told to nobody else."""

        async def guarded(request: Request) -> Response:
            try:
                self.admission.require_token(request)
                response = await endpoint(request)
            except RefusedError as error:
                response = self._answer(error)
            except FailoverError as error:
                response = PlainTextResponse(f"{error}\n", status_code=503)
            response.headers.update(_PRIVATE)
            return response

        return guarded

    def _refuse(self, request: Request, error: RefusedError) -> Response:
        self.controller.refused(error.outcome)
        sender = request.client.host if request.client else "somebody"
        logger.warning("webhook from %s refused with %d: %r", sender, error.status, str(error))
        return self._answer(error)

    @staticmethod
    def _answer(error: RefusedError) -> Response:
        headers = {401: {"WWW-Authenticate": 'Basic realm="failover"'}, 429: {"Retry-After": "1"}}.get(error.status)
        return PlainTextResponse(f"{error}\n", status_code=error.status, headers=headers)


def application(controller: Controller, admission: Admission) -> Starlette:
    """The ASGI application; the controller runs as long as it does."""
    web = Web(controller, admission)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        web.running = running = asyncio.create_task(controller.run())
        running.add_done_callback(_tell_if_failed)
        yield
        running.cancel()
        await asyncio.wait({running})
        await controller.journal.close()

    return Starlette(
        routes=[
            Route("/", web.private(web.overview)),
            Route("/incidents/{id:int}", web.private(web.detail)),
            Route("/api/incidents", web.private(web.incidents)),
            Route("/api/incidents/{id:int}", web.private(web.incident)),
            Route("/webhook/alertmanager", web.alertmanager, methods=["POST"]),
            Route("/metrics", web.metrics),
            Route("/-/healthy", _fine),
            Route("/-/ready", web.ready),
        ],
        lifespan=lifespan,
    )


def _tell_if_failed(running: asyncio.Task[None]) -> None:
    if not running.cancelled() and (error := running.exception()):
        logger.critical("the controller has ended and decides nothing any more", exc_info=error)


async def _fine(_: Request) -> Response:
    return PlainTextResponse("OK\n")
