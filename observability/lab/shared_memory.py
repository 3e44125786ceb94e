"""Gives back the System V shared memory that a killed PostgreSQL leaves behind; it would stay until the next boot."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_IPC_RMID = 0
_SEGMENTS = Path("/proc/sysvipc/shm")
_KEY_LINE = 6  # of postmaster.pid: "key id"


def remove_segment(postmaster_pid: Path) -> None:
    """
    Remove the segment of a server that has ended without doing it, which its lock file shows by still being there.

    A segment is removed only if it has the key and the id that the server wrote down, was made by that very process,
    and nobody is attached to it.
    """
    if not _SEGMENTS.exists() or not postmaster_pid.exists():
        return
    lines = postmaster_pid.read_text().splitlines()
    if len(lines) <= _KEY_LINE or len(lines[_KEY_LINE].split()) != 2:  # noqa: PLR2004  # key and id
        return
    key, segment = (int(word) for word in lines[_KEY_LINE].split())
    if _is_left(key=key, segment=segment, creator=int(lines[0])):
        ctypes.CDLL(None, use_errno=True).shmctl(segment, _IPC_RMID, None)


def _is_left(*, key: int, segment: int, creator: int) -> bool:
    header, *rows = _SEGMENTS.read_text().splitlines()
    for row in rows:
        seen = dict(zip(header.split(), (int(word) for word in row.split()), strict=True))
        if (seen["key"], seen["shmid"], seen["cpid"]) == (key, segment, creator):
            return seen["nattch"] == 0 and os.geteuid() in (0, seen["uid"])
    return False
