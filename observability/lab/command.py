"""Runs other programs, always with an environment of the lab's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from observability.lab.account import Account

# Variables that change what our servers and clients do (PGHOST, REDIS_URL, HA_TARGETS, ...) must not leak in.
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_LONGEST_SECONDS = 60
_CANNOT_EXECUTE = 126  # as a shell says it


class Answer(NamedTuple):
    """How a program ended."""

    code: int
    output: str
    complaint: str


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of the lab's processes: what they need to be found and started, and `extra`."""
    inherited = {name: value for name, value in os.environ.items() if name in _INHERITED or name.startswith("COVERAGE")}
    return inherited | {"LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "1"} | dict(extra)


def run(
    argv: Sequence[str | Path],
    *,
    account: Account | None = None,
    text: str = "",
    extra: Mapping[str, str] | None = None,
) -> Answer:
    """
    Run a program to its end.

    Args:
        argv: the program and its arguments; never a secret, since everybody on the machine can read them.
        account: who runs it; ourselves unless given.
        text: what it reads from its standard input.
        extra: variables of its environment.

    """
    try:
        ended = subprocess.run(  # noqa: S603  # the lab runs the programs it has found itself
            [str(word) for word in argv],
            input=text,
            cwd="/",
            env=environment(extra or {}),
            check=False,
            capture_output=True,
            text=True,
            timeout=_LONGEST_SECONDS,
            **(account.options() if account else {}),
        )
    except OSError as error:
        return Answer(_CANNOT_EXECUTE, "", str(error))
    except subprocess.TimeoutExpired:
        return Answer(_CANNOT_EXECUTE, "", f"it did not end within {_LONGEST_SECONDS} s")
    return Answer(ended.returncode, ended.stdout, ended.stderr.strip())
