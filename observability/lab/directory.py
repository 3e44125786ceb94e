"""The lab's state directory: where it is, who may use it, its secrets, and how it goes away."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Literal

from observability.errors import LabError

NEEDED_BYTES = 400 * 1024 * 1024
"""Free space that a lab asks for: two small database clusters, a copied installation and the time series of a day."""

TEMPORARY_PREFIX = "ha-lab-"
"""How the names of temporary state directories begin."""

_MARKER = "this directory belongs to ha-observability lab\n"
_MARKER_FILE = "lab"
_LOCK_FILE = "lock"
_PARENT = "ha-observability"
_MAX_PATH = 80  # names of UNIX sockets end at 107 bytes


def default_directory(env: Mapping[str, str] = os.environ, uid: int | None = None) -> Path:
    """`/var/lib/ha-observability/lab` for root, else below the user's state directory of the XDG specification."""
    if (os.geteuid() if uid is None else uid) == 0:
        return Path("/var/lib") / _PARENT / "lab"
    state = env.get("XDG_STATE_HOME") or str(Path(env.get("HOME") or Path.home()) / ".local" / "state")
    return Path(state) / _PARENT / "lab"


def temporary_directory() -> Path:
    """A new directory for a lab that is gone afterwards."""
    return Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX))


class StateDirectory:
    """A directory that one lab at a time uses; everything in it is the lab's and goes away with it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: IO[str] | None = None

    def claim(self) -> None:
        """
        Create the directory if need be and take its lock until `release`.

        Raises:
            LabError: when another lab uses it, or it holds somebody else's files.

        """
        if self._lock:
            return
        if len(str(self.path)) > _MAX_PATH:
            raise LabError(
                f"the path {self.path} is too long for UNIX sockets in it: choose one of up to {_MAX_PATH} letters"
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._require_ours()
            self._take_lock("w")
            # Only now, so that whoever sees that it is a lab's finds it locked.
            (self.path / _MARKER_FILE).write_text(_MARKER)
            self.path.chmod(0o711)  # PostgreSQL's account must pass through; it need not list
        except OSError as error:
            raise LabError(
                f"the state directory {self.path} cannot be used: {error.strerror}; choose another with --state-dir"
            ) from error

    def take_over(self) -> bool:
        """
        Take the lock of a lab that is there; False when there is none, or it has gone meanwhile.

        Raises:
            LabError: when somebody is using it.

        """
        if self._lock:
            return True
        try:
            if self.is_ours():
                self._take_lock("r+")  # what is being removed must not come back
        except FileNotFoundError:
            return False
        if not self.is_ours():
            self.release()
        return self._lock is not None

    def require_space(self, needed: int = NEEDED_BYTES) -> None:
        """
        Make sure that there is room for a lab.

        Raises:
            LabError: when there is not, with the directory and the space.

        """
        if shutil.disk_usage(self.path).free < needed:
            raise LabError(self.shortage(needed))

    def shortage(self, needed: int = NEEDED_BYTES) -> str:
        """The sentence about a full disk."""
        free = shutil.disk_usage(self.path).free
        return (
            f"the disk of {self.path} has {free // 1024**2} MB left, a lab needs {needed // 1024**2} MB: "
            "make room, or choose another place with --state-dir"
        )

    def release(self) -> None:
        """Let another lab have the directory."""
        if self._lock:
            self._lock.close()
            self._lock = None

    def remove(self) -> None:
        """Delete the directory with everything in it; what is not a lab's is left alone."""
        if not self.is_ours():
            return
        self.empty()
        # The marker goes after all that it stands for, so that a removal that was killed can be done again; the lock goes
        # last, so that nobody takes what is half gone for an abandoned lab.
        for name in (_MARKER_FILE, _LOCK_FILE):
            (self.path / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # a new lab may have begun in it
            self.path.rmdir()
            if self.path.parent.name == _PARENT:  # which we may have made
                self.path.parent.rmdir()

    def empty(self) -> None:
        """Delete what an earlier lab has left, but not the directory."""
        for path in self.path.iterdir():
            if path.name in (_MARKER_FILE, _LOCK_FILE):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def is_ours(self) -> bool:
        """Whether a lab made this directory."""
        with contextlib.suppress(OSError):
            return (self.path / _MARKER_FILE).read_text() == _MARKER
        return False

    def secret(self, name: str) -> Path:
        """The file, readable by its owner alone, that holds the password `name`; made at the first call."""
        folder = self.path / "secrets"
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / name
        if not path.exists():
            write_private(path, secrets.token_urlsafe(24))
        return path

    def _require_ours(self) -> None:
        if not self.is_ours() and any(path.name != _LOCK_FILE for path in self.path.iterdir()):
            raise LabError(
                f"{self.path} holds files that are not a lab's: choose an empty or a new directory with --state-dir"
            )

    def _take_lock(self, mode: Literal["w", "r+"]) -> None:
        lock = (self.path / _LOCK_FILE).open(mode)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise LabError(
                f"another lab is using {self.path}: take it down with `lab down`, or choose another --state-dir"
            ) from None
        self._lock = lock


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, from its first instant on."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:  # noqa: PTH123
        file.write(text)
