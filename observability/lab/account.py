"""The unprivileged account under which PostgreSQL runs when the lab is started by root."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from observability.errors import LabError

_CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user of the system and its group, by number."""

    name: str
    uid: int
    gid: int

    def options(self) -> dict[str, Any]:
        """Arguments of `subprocess` that drop the privileges, supplementary groups included."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Give a file or a directory to the account."""
        os.chown(path, self.uid, self.gid)


def unprivileged() -> Account | None:
    """
    The account for PostgreSQL, or None when we are not root and simply run it as ourselves.

    Raises:
        LabError: when we are root and the machine has no account to become.

    """
    if os.geteuid() != 0:
        return None
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise LabError(
        "PostgreSQL does not run as root, and neither of the users postgres and nobody exists: "
        "start the lab as an ordinary user, or create one with `useradd --system postgres`"
    )
