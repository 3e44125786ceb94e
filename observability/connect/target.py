"""What is watched: where it is, who we are to it, and how we speak to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from observability.errors import Reason, TargetError

TlsMode: TypeAlias = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]
"""libpq's sslmode, for every kind of target (https://www.postgresql.org/docs/current/libpq-ssl.html)."""


class Secret:
    """
    A password that cannot be formatted by accident.

    One given as a file is read again at each connection, so that rotation needs no restart.
    """

    __slots__ = ("_path", "_value")

    def __init__(self, value: str | None = None, *, path: Path | None = None) -> None:
        self._value = value
        self._path = path

    @property
    def is_empty(self) -> bool:
        """True where there is no password at all."""
        return self._path is None and not self._value

    def reveal(self) -> str | None:
        """
        The password itself, or None where there is none.

        Raises:
            TargetError: when its file cannot be read.

        """
        if self._path is None:
            return self._value
        try:
            return self._path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise TargetError(Reason.AUTH, f"password file {self._path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError:
            raise TargetError(Reason.AUTH, f"password file {self._path} cannot be read: it is not UTF-8") from None

    def __repr__(self) -> str:
        return "Secret(***)"


@dataclass(frozen=True, slots=True)
class Tls:
    """How a target is encrypted and verified; paths are PEM files."""

    mode: TlsMode = "prefer"
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """
    One server to watch.

    `timeout_seconds` bounds each of its scrapes, beside the deadline of the scrape itself.
    """

    name: str
    system: str
    cluster: str
    host: str = "localhost"
    port: int = 0
    database: str = ""
    user: str = ""
    password: Secret = field(default_factory=Secret)
    tls: Tls = field(default_factory=Tls)
    url: str = ""
    zone: str = ""
    expect_status: frozenset[int] = frozenset()
    timeout_seconds: float = 2.0

    @property
    def attributes(self) -> tuple[tuple[str, str], ...]:
        """The labels of each of its samples: cluster, server and, where known, zone."""
        zone = (("zone", self.zone),) if self.zone else ()
        return (("cluster", self.cluster), ("server", self.name), *zone)

    @property
    def address(self) -> str:
        """Where it is, without any secret, for messages."""
        return self.url or (f"{self.host}:{self.port}" if self.port else self.host)
