"""
Flask with a synchronous engine.

    flask --app examples/flask_app run
    curl localhost:5000/metrics
"""

from __future__ import annotations

import os

from flask import Flask
from sqlalchemy import create_engine, text
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from observability import instrument, runtime_metrics, wsgi_metrics_app

engine = create_engine(os.environ.get("DATABASE_URL", "sqlite:///example.db"))
instrument(engine, "core")
runtime_metrics()

app = Flask(__name__)
app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/metrics": wsgi_metrics_app()})  # type: ignore[method-assign]


@app.get("/users/<int:number>")
def user(number: int) -> dict[str, int]:
    """Ask the database, as applications do."""
    with engine.connect() as connection:
        return {"number": connection.execute(text("SELECT :number"), {"number": number}).scalar_one()}
