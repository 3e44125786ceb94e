"""
FastAPI with an asyncio engine: pool, requests, runtime and health.

    uvicorn --app-dir examples fastapi_app:app --workers 4
    curl localhost:8000/metrics/     # any worker tells what all have done
    curl localhost:8000/readyz
"""

from __future__ import annotations

import os

from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from observability import HealthCheck, RequestMetrics, health_app, instrument, metrics_app

engine = create_async_engine(os.environ.get("DATABASE_URL", "sqlite+aiosqlite:///example.db"))
instrument(engine, "core")

api = FastAPI()
api.mount("/metrics", metrics_app())


@api.get("/users/{number}")
async def user(number: int) -> dict[str, int]:
    """Ask the database, as applications do."""
    async with engine.connect() as connection:
        return {"number": (await connection.execute(text("SELECT :number"), {"number": number})).scalar_one()}


# Around the application, so that health is answered and counted whatever the application does.
app = RequestMetrics(health_app(HealthCheck.pool(engine), app=api))
