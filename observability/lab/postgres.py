"""PostgreSQL in the lab: a primary and its streaming standby, with passwords of their own."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

from observability.errors import LabError
from observability.lab.command import run
from observability.lab.directory import StateDirectory, write_private
from observability.lab.installation import Installation
from observability.lab.ports import HOST
from observability.lab.process import Process, stop
from observability.lab.ready import await_ready
from observability.lab.registry import Registry
from observability.lab.shared_memory import remove_segment

MONITOR = "ha_monitor"
"""The role that the exporter uses: a member of pg_monitor, nothing more."""
APP = "app"
"""The role of the demo servers, and the name of its database."""
REPLICATOR = "replicator"
SUPERUSER = "postgres"
ROLES = (SUPERUSER, MONITOR, APP, REPLICATOR)

_SETTINGS = """\
listen_addresses = '{host}'
port = {port}
unix_socket_directories = ''
cluster_name = '{name}'
max_connections = 60
shared_buffers = 16MB
dynamic_shared_memory_type = mmap
password_encryption = scram-sha-256
wal_level = replica
wal_log_hints = on
max_wal_size = 128MB
min_wal_size = 32MB
hot_standby = on
hot_standby_feedback = on
# With the default of 5 s a standby that is promoted just after its primary died may wait that long.
wal_retrieve_retry_interval = 200ms
wal_receiver_status_interval = 1s
wal_receiver_timeout = 5s
wal_sender_timeout = 5s
log_line_prefix = '%m [%p] %q%u@%d '
"""
_ACCESS = f"""\
host all all {HOST}/32 scram-sha-256
host replication {REPLICATOR} {HOST}/32 scram-sha-256
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """
    One PostgreSQL server of the lab.

    `follows` is the port of the line to its primary; it may lead through a proxy. `slot` is the name of the physical
    slot that the primary keeps for it. Both are None for a server that starts as primary.
    """

    name: str
    port: int
    state: StateDirectory
    installation: Installation
    registry: Registry
    follows: int | None = None
    slot: str | None = None

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self.state.path / self.name

    @property
    def process(self) -> Process:
        """Its living postmaster."""
        return self.registry.get(self.name)

    def password_file(self, role: str = MONITOR) -> Path:
        """The file with the password of a role."""
        return self.state.secret(f"postgres-{role}")

    def password(self, role: str = MONITOR) -> str:
        """The password of a role."""
        return self.password_file(role).read_text()

    def url(self, role: str = MONITOR, database: str = "postgres") -> str:
        """Where to connect, without the password."""
        return f"postgresql://{role}@{HOST}:{self.port}/{database}"

    def initialise(self) -> None:
        """Make an empty database cluster whose superuser has a password."""
        self._make_data_directory()
        first_password = self.data.with_name("first-password")
        write_private(first_password, self.password(SUPERUSER))
        self._give(first_password)
        try:
            self.installation.run(
                "initdb", "--pgdata", self.data, "--username", SUPERUSER, "--pwfile", first_password,
                "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync",
            )  # fmt: skip
        finally:
            first_password.unlink()
        self._configure()

    def clone(self, primary: Postgres) -> None:
        """Make the server a standby of a running primary, from a base backup of it."""
        self._make_data_directory()
        self.installation.run(
            "pg_basebackup", "--pgdata", self.data, "--dbname", primary.url(REPLICATOR), "--no-password",
            "--checkpoint=fast", "--wal-method=stream", "--no-sync", passwords=self._passwords(),
        )  # fmt: skip
        (self.data / "standby.signal").touch()
        self._configure()

    def start(self, timeout_seconds: float = 30) -> None:
        """Start the server and wait until it takes connections."""
        program = self.installation.programs / "postgres"
        # PostgreSQL opens its configuration with the account's rights, so its working directory must be open to it too.
        process = self.registry.start(
            self.name,
            [program, "-D", self.data],
            cwd=self.data,
            account=self.installation.account,
            ends_with=signal.SIGQUIT,
        )
        await_ready(process, self.answers, port=self.port, timeout_seconds=timeout_seconds)

    def answers(self) -> bool:
        """Whether the server takes connections now."""
        try:
            self.installation.run("pg_isready", "--quiet", "--host", HOST, "--port", str(self.port), "--timeout", "2")
        except LabError:
            return False
        return True

    def prepare(self, slots: tuple[str, ...] = ()) -> None:
        """Create the roles, the application's database and the slots of the standbys on a new primary."""
        self.sql("".join(_role(role, self.password(role)) for role in ROLES if role != SUPERUSER))
        self.sql(f"CREATE DATABASE {APP} OWNER {APP};")
        self.sql("".join(f"SELECT pg_create_physical_replication_slot('{slot}', true);" for slot in slots))

    def sql(self, statements: str, *, database: str = "postgres", role: str = SUPERUSER) -> str:
        """Run statements and give their rows, one a line, columns separated by `|`."""
        return self.installation.run(
            "psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1",
            self.url(role, database), text=statements, passwords=self._passwords(),
        ).strip()  # fmt: skip

    def in_recovery(self) -> bool:
        """Whether the server is a standby now."""
        return self.sql("SELECT pg_is_in_recovery()") == "t"

    def replays(self) -> bool:
        """Whether the standby receives WAL from its primary now."""
        return self.sql("SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'") == "1"

    def stop(self, sign: int = signal.SIGINT) -> None:
        """Stop the server: SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one, SIGKILL its crash."""
        process = self.registry.find(self.name)
        if process:
            stop([process], sign, timeout_seconds=10)
        self.clean_up()

    def clean_up(self) -> None:
        """Give back what a killed server has left behind: its shared memory and its lock."""
        process, lock = self.registry.find(self.name), self.data / "postmaster.pid"
        if process and not process.alive:
            remove_segment(lock)
            # A zombie still has its pid, and PostgreSQL would not start while the pid in its lock exists.
            lock.unlink(missing_ok=True)

    def _passwords(self) -> Path:
        """The libpq password file with which our own client programs run."""
        path = self.state.path / "secrets" / "pgpass"
        if not path.exists():
            write_private(path, "".join(f"*:*:*:{role}:{self.password(role)}\n" for role in ROLES))
        return path

    def _make_data_directory(self) -> None:
        self.data.mkdir(mode=0o700)
        self._give(self.data)
        account = self.installation.account
        if account and run(["/bin/sh", "-c", 'cd "$1"', "sh", self.data], account=account).code != 0:
            raise LabError(
                f"PostgreSQL runs as {account.name}, who cannot enter {self.data.parent}: "
                "choose a --state-dir that everybody may pass through"
            )

    def _configure(self) -> None:
        settings = _SETTINGS.format(host=HOST, port=self.port, name=self.name)
        if self.follows:
            passwords = self.data / "primary.pass"
            write_private(passwords, f"*:*:*:{REPLICATOR}:{self.password(REPLICATOR)}\n")
            line = f"host={HOST} port={self.follows} user={REPLICATOR} passfile={passwords} connect_timeout=2"
            settings += f"primary_conninfo = '{line}'\nprimary_slot_name = '{self.slot}'\n"
        (self.data / "postgresql.conf").write_text(settings)
        (self.data / "pg_hba.conf").write_text(_ACCESS)
        for path in (self.data, *self.data.rglob("*")):
            self._give(path)

    def _give(self, path: Path) -> None:
        if self.installation.account:
            self.installation.account.own(path)


def _role(name: str, password: str) -> str:
    grants = {MONITOR: f"GRANT pg_monitor TO {MONITOR};", REPLICATOR: f"ALTER ROLE {REPLICATOR} REPLICATION;"}
    return f"CREATE ROLE {name} LOGIN PASSWORD '{password}'; {grants.get(name, '')}\n"
