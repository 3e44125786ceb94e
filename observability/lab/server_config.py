"""What a demo server is told, and what it is made of; apart from the server, so that starting one does not load it."""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA = """
CREATE TABLE items (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    server text NOT NULL,
    created timestamptz NOT NULL DEFAULT now()
);
"""
POOL_SIZE = 5
MAX_OVERFLOW = 3
POOL_TIMEOUT_SECONDS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """What a server is told: URLs hold no passwords, those are in files of their own."""

    name: str
    port: int
    database: str
    database_password_file: str
    redis: str
    redis_password_file: str
