"""
A program that knows nothing of instrumentation.

    ha-observability run -- python examples/zero_code.py
    curl localhost:9941/metrics
"""

from __future__ import annotations

import os
import time

from sqlalchemy import create_engine, text

engine = create_engine(os.environ.get("DATABASE_URL", "sqlite:///example.db"))

while True:
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    time.sleep(0.1)
