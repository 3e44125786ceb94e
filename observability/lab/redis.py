"""Redis in the lab: a primary and its replica, both with a password."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from observability.lab.directory import StateDirectory, write_private
from observability.lab.ports import HOST
from observability.lab.process import Process
from observability.lab.ready import await_ready
from observability.lab.registry import Registry

# The password stands in the file, which only its owner can read, and not on the command line.
_SETTINGS = """\
bind {host}
port {port}
protected-mode yes
daemonize no
dir "{directory}"
save ""
appendonly no
maxmemory 64mb
maxmemory-policy noeviction
requirepass {password}
masterauth {password}
repl-diskless-sync yes
repl-diskless-sync-delay 0
repl-ping-replica-period 1
repl-timeout 5
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redis:
    """One Redis server of the lab; `follows` is the port of its primary, None for a primary."""

    name: str
    port: int
    state: StateDirectory
    program: Path
    registry: Registry
    follows: int | None = None

    @property
    def process(self) -> Process:
        """Its living process."""
        return self.registry.get(self.name)

    @property
    def password_file(self) -> Path:
        """The file with its password."""
        return self.state.secret("redis")

    @property
    def password(self) -> str:
        """Its password."""
        return self.password_file.read_text()

    def url(self, database: int = 0) -> str:
        """Where to connect, without the password."""
        return f"redis://{HOST}:{self.port}/{database}"

    def start(self, timeout_seconds: float = 15) -> None:
        """Start the server and wait until it answers."""
        directory = self.state.path / self.name
        directory.mkdir(mode=0o700, exist_ok=True)
        settings = _SETTINGS.format(host=HOST, port=self.port, directory=directory, password=self.password)
        if self.follows:
            settings += f"replicaof {HOST} {self.follows}\n"
        write_private(directory / "redis.conf", settings)
        process = self.registry.start(self.name, [self.program, directory / "redis.conf"])
        await_ready(process, self.answers, port=self.port, timeout_seconds=timeout_seconds)

    def client(self) -> redis.Redis:
        """A client that gives up after a second and never repeats a command by itself."""
        return redis.Redis(
            host=HOST,
            port=self.port,
            password=self.password,
            socket_timeout=1,
            socket_connect_timeout=1,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )

    def answers(self) -> bool:
        """Whether the server answers commands now."""
        with self.client() as client:
            try:
                return client.ping() is True
            except redis.RedisError:
                return False

    def replicates(self) -> bool:
        """Whether the replica's link to its primary is up."""
        with self.client() as client:
            try:
                return bool(client.info("replication").get("master_link_status") == "up")
            except redis.RedisError:
                return False
