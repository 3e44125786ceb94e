"""The two data stores of the lab as pairs: a PostgreSQL primary with its standby, a Redis primary with its replica."""

from __future__ import annotations

import shutil
import signal
from dataclasses import dataclass
from typing import Self

from observability.errors import LabError
from observability.lab.directory import StateDirectory
from observability.lab.installation import find_installation
from observability.lab.ports import free_port
from observability.lab.postgres import Postgres
from observability.lab.program import redis_server
from observability.lab.ready import await_true
from observability.lab.redis import Redis
from observability.lab.registry import Registry

SLOT = "pg_2"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresPair:
    """`pg-1`, the primary, and `pg-2`, which streams from it."""

    primary: Postgres
    standby: Postgres

    @classmethod
    def of(
        cls,
        state: StateDirectory,
        registry: Registry,
        *,
        version: str = "16",
        ports: tuple[int, int, int] | None = None,
    ) -> Self:
        """
        The pair for a state directory, not started yet.

        Args:
            state: where the data goes.
            registry: who starts the servers.
            version: which PostgreSQL, see `installation.CHOICES`.
            ports: of the primary, of the standby, and of the line over which the standby reaches the primary.

        """
        installation = find_installation(version, state.path / "programs")
        first = free_port()
        primary, standby, line = ports or (first, free_port(), first)
        return cls(
            primary=Postgres(name="pg-1", port=primary, state=state, installation=installation, registry=registry),
            standby=Postgres(
                name="pg-2",
                port=standby,
                state=state,
                installation=installation,
                registry=registry,
                follows=line,
                slot=SLOT,
            ),
        )

    def start(self, timeout_seconds: float = 30) -> None:
        """Make both clusters, start both servers and wait until the standby streams."""
        self.start_primary(timeout_seconds)
        self.start_standby(timeout_seconds)

    def start_primary(self, timeout_seconds: float = 30) -> None:
        """Make the primary with its roles, database and slot."""
        self.primary.initialise()
        self.primary.start(timeout_seconds)
        self.primary.prepare((SLOT,))

    def start_standby(self, timeout_seconds: float = 30) -> None:
        """Make the standby and wait until it streams."""
        self.standby.clone(self.primary)
        self.standby.start(timeout_seconds)
        self.await_streaming(timeout_seconds)

    def await_streaming(self, timeout_seconds: float = 30) -> None:
        """
        Wait until the standby receives from the primary.

        Raises:
            LabError: when it does not in time.

        """
        if not await_true(self.standby.replays, timeout_seconds=timeout_seconds):
            tail = self.standby.process.log_tail()
            raise LabError(f"{self.standby.name} does not stream from {self.primary.name}:\n{tail}")

    def heal(self, timeout_seconds: float = 30) -> None:
        """Thaw what is frozen, start what has ended, let the standby follow, and wait until it does."""
        for server in (self.primary, self.standby):
            process = server.registry.find(server.name)
            if process and process.alive:
                process.thaw()
            else:
                server.clean_up()
                server.start(timeout_seconds)
        if not self.standby.in_recovery():
            self._rebuild_standby(timeout_seconds)
        self.standby.sql("SELECT pg_wal_replay_resume()")
        self.await_streaming(timeout_seconds)

    def _rebuild_standby(self, timeout_seconds: float) -> None:
        """Make a standby that was promoted follow again; what was written to it is lost."""
        self.standby.stop(signal.SIGQUIT)
        shutil.rmtree(self.standby.data)
        self.start_standby(timeout_seconds)

    def stop(self) -> None:
        """End both at once; their data is not needed any more."""
        for server in (self.standby, self.primary):
            server.stop(signal.SIGQUIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisPair:
    """`redis-1`, the primary, and `redis-2`, its replica."""

    primary: Redis
    replica: Redis

    @classmethod
    def of(cls, state: StateDirectory, registry: Registry, *, ports: tuple[int, int] | None = None) -> Self:
        """The pair for a state directory, not started yet."""
        program = redis_server(state.path / "programs")
        first, second = ports or (free_port(), free_port())
        return cls(
            primary=Redis(name="redis-1", port=first, state=state, program=program, registry=registry),
            replica=Redis(name="redis-2", port=second, state=state, program=program, registry=registry, follows=first),
        )

    def start(self, timeout_seconds: float = 15) -> None:
        """Start both and wait until the replica follows."""
        self.primary.start(timeout_seconds)
        self.start_replica(timeout_seconds)

    def start_replica(self, timeout_seconds: float = 15) -> None:
        """Start the replica and wait until it follows."""
        self.replica.start(timeout_seconds)
        self.await_link(timeout_seconds)

    def await_link(self, timeout_seconds: float = 15) -> None:
        """
        Wait until the replica's link to the primary is up.

        Raises:
            LabError: when it is not in time.

        """
        if not await_true(self.replica.replicates, timeout_seconds=timeout_seconds):
            tail = self.replica.process.log_tail()
            raise LabError(f"{self.replica.name} does not follow {self.primary.name}:\n{tail}")

    def heal(self, timeout_seconds: float = 15) -> None:
        """Thaw what is frozen, start what has ended, and wait until the replica follows again."""
        for server in (self.primary, self.replica):
            process = server.registry.find(server.name)
            if process and process.alive:
                process.thaw()
            else:
                server.start(timeout_seconds)
        self.await_link(timeout_seconds)
