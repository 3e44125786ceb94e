"""Where a lab is: its directory, its processes, its ports."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from observability.lab.directory import StateDirectory
from observability.lab.process import Process
from observability.lab.ready import await_ready
from observability.lab.registry import Registry

CLUSTER = "demo"
"""The label `cluster` of everything in the lab."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One lab's directory, processes and ports by piece; `timeout_seconds` is the patience with each piece."""

    state: StateDirectory
    registry: Registry
    ports: Mapping[str, int]
    timeout_seconds: float = 30

    def file(self, name: str, text: str) -> Path:
        """Write a file of the lab; it may hold no secret."""
        path = self.state.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    def start(self, name: str, argv: Sequence[str | Path], check: Callable[[], bool]) -> Process:
        """Start a process and wait until it is ready, and listens on the port of its name if there is one."""
        process = self.registry.start(name, argv)
        await_ready(process, check, port=self.ports.get(name), timeout_seconds=self.timeout_seconds)
        return process

    def start_module(self, name: str, *arguments: str | Path, check: Callable[[], bool]) -> Process:
        """Start one of our own programs, `python -m ARGUMENTS`, with the interpreter that runs us."""
        return self.start(name, [sys.executable, "-m", *arguments], check)
