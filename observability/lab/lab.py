"""The lab as a whole: brought up, found again by later commands, taken down without a trace."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import psutil

from observability.errors import LabError
from observability.lab.directory import TEMPORARY_PREFIX, StateDirectory
from observability.lab.launch import Listener, launch
from observability.lab.ports import free_ports
from observability.lab.process import Process, stop
from observability.lab.registry import Registry, write
from observability.lab.shared_memory import remove_segment
from observability.lab.site import Site
from observability.lab.stack import PORTS, Stack

Phase: TypeAlias = Literal["starting", "up", "detached"]

_PORT_ATTEMPTS = 3
_TAKEN = ("address already in use", "cannot bind")
_OWNER_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What `state.json` says: enough for any later command to find the lab's pieces again."""

    postgres: str
    ports: Mapping[str, int]
    phase: Phase
    owner_pid: int
    owner_started: float

    @property
    def owner(self) -> Process:
        """The command that brought the lab up."""
        return Process(name="lab", pid=self.owner_pid, started=self.owner_started, log="", ends_with=signal.SIGTERM)


class Lab:
    """
    A lab in a state directory.

    `Lab(directory).up()` starts one; `Lab(directory)` then finds it again from any process: `stack`, `down()`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        postgres: str = "16",
        timeout_seconds: float = 60,
        choose_ports: Callable[[Iterable[str]], dict[str, int]] = free_ports,
    ) -> None:
        self.directory = directory.absolute()
        self.timeout_seconds = timeout_seconds
        self._postgres = postgres
        self._choose_ports = choose_ports
        self._state = StateDirectory(self.directory)
        self._registry = Registry(self.directory)
        self._stack: Stack | None = None

    @property
    def state(self) -> State | None:
        """What is written down about the lab; None when there is none, or none that this version understands."""
        with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
            return State(**json.loads((self.directory / "state.json").read_text()))
        return None

    @property
    def stack(self) -> Stack:
        """
        The pieces of the lab.

        Raises:
            LabError: when there is no lab in the directory.

        """
        if self._stack is None:
            self._stack = self._compose(self._known_state())
        return self._stack

    @property
    def processes(self) -> list[Process]:
        """Every process of the lab, living or not."""
        return self._registry.all()

    def up(self, told: Listener = lambda _: None) -> None:
        """
        Start everything, after taking down what an earlier lab may have left here.

        Raises:
            LabError: when something is missing or does not start; nothing is left running then.

        """
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            self._claim()
            try:
                self._clear_leftovers()
                self._state.require_space()
                self._start(told)
            except BaseException as error:
                self._take_down()
                if attempt == _PORT_ATTEMPTS or not is_port_taken(error):
                    raise
            else:
                return

    def detach(self) -> None:
        """Let the lab live on after this process."""
        self._save(replace(self._known_state(), phase="detached"))
        self._state.release()

    def down(self) -> bool:
        """
        Take the lab down and remove its directory; False when there was none.

        A lab that runs in the foreground of another process is asked to end itself.
        """
        state = self.state
        if state and state.phase != "detached" and state.owner_pid != os.getpid():
            stop([state.owner], timeout_seconds=_OWNER_SECONDS)
        if self._state.take_over():
            self._take_down()
            return True
        return state is not None

    def clear_if_abandoned(self) -> None:
        """
        Take the lab down if whoever brought it up has died.

        Raises:
            LabError: when somebody is using it.

        """
        state = self.state
        if not (state and state.phase == "detached") and self._state.take_over():
            self._take_down()

    def _start(self, told: Listener) -> None:
        self._registry = Registry(self.directory)
        owner = psutil.Process()
        state = State(
            postgres=self._postgres,
            ports=self._choose_ports(PORTS),
            phase="starting",
            owner_pid=owner.pid,
            owner_started=owner.create_time(),
        )
        with disk_errors(self._state):
            self._save(state)
            self._stack = self._compose(state)
            launch(self._stack.pieces(), told, abandon=self._registry.stop_all)
            self._save(replace(state, phase="up"))

    def _compose(self, state: State) -> Stack:
        site = Site(state=self._state, registry=self._registry, ports=state.ports, timeout_seconds=self.timeout_seconds)
        return Stack(site, postgres=state.postgres)

    def _claim(self) -> None:
        """Take the directory, unless a detached lab lives in it, which holds no lock."""
        self._state.claim()
        state = self.state
        if state and state.phase == "detached" and any(process.alive for process in self.processes):
            self._state.release()
            raise LabError(f"a lab runs in {self.directory}: see `lab status`, end it with `lab down`")

    def _clear_leftovers(self) -> None:
        """End and delete what an earlier lab has left that ended without taking itself down."""
        self._end_processes()
        self._state.empty()

    def _end_processes(self) -> None:
        self._registry.stop_all()
        for lock in self.directory.glob("*/postmaster.pid"):
            remove_segment(lock)

    def _take_down(self) -> None:
        self._end_processes()
        self._state.remove()
        self._state.release()
        self._stack = None

    def _known_state(self) -> State:
        state = self.state
        if state is None:
            raise LabError(f"there is no lab in {self.directory}: start one with `lab up`")
        return state

    def _save(self, state: State) -> None:
        write(self.directory / "state.json", json.dumps(asdict(state), indent=2))


def clear_abandoned() -> None:
    """Take down what was brought up in temporary directories by commands and tests that were killed."""
    for path in Path(tempfile.gettempdir()).glob(f"{TEMPORARY_PREFIX}*"):
        with contextlib.suppress(LabError, OSError):
            if path.stat().st_uid == os.geteuid():
                Lab(path).clear_if_abandoned()


@contextlib.contextmanager
def disk_errors(state: StateDirectory) -> Iterator[None]:
    """Whoever runs out of space, we or a server, the message names the directory and the space."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise LabError(state.shortage()) from error
    except LabError as error:
        if os.strerror(errno.ENOSPC) not in str(error):
            raise
        raise LabError(f"{state.shortage()}\n{error}") from error


def is_port_taken(error: BaseException) -> bool:
    """Whether a piece did not start because somebody took its port after we had found it free."""
    return isinstance(error, LabError) and any(sign in str(error).lower() for sign in _TAKEN)
