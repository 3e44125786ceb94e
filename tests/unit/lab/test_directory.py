"""The state directory belongs to one lab at a time, and never to anybody else's files."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from observability.errors import LabError
from observability.lab.directory import StateDirectory, default_directory, temporary_directory
from observability.lab.lab import Lab, clear_abandoned, disk_errors


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDirectory]:
    """A claimed directory."""
    state = StateDirectory(tmp_path / "lab")
    state.claim()
    yield state
    state.release()


@pytest.mark.parametrize(
    ("env", "uid", "expected"),
    [
        pytest.param({}, 0, "/var/lib/ha-observability/lab", id="root"),
        pytest.param({"XDG_STATE_HOME": "/s", "HOME": "/h"}, 1000, "/s/ha-observability/lab", id="xdg"),
        pytest.param({"HOME": "/h"}, 1000, "/h/.local/state/ha-observability/lab", id="home"),
    ],
)
def test_default_directory(env: dict[str, str], uid: int, expected: str) -> None:
    """Root's labs are in /var/lib, a user's below the XDG state directory."""
    assert default_directory(env, uid) == Path(expected)


def test_a_second_lab_in_the_directory_is_refused(state: StateDirectory) -> None:
    """Two labs at once in one directory: the second says so and touches nothing."""
    with pytest.raises(LabError, match=f"another lab is using {state.path}"):
        StateDirectory(state.path).claim()


def test_a_released_directory_can_be_claimed(state: StateDirectory) -> None:
    """A directory that was let go of is free again."""
    state.release()
    again = StateDirectory(state.path)
    again.claim()
    again.release()


def test_somebody_elses_files_are_left_alone(tmp_path: Path) -> None:
    """A directory with other files in it is neither used nor removed."""
    (tmp_path / "thesis.tex").touch()
    state = StateDirectory(tmp_path)
    with pytest.raises(LabError, match="holds files that are not a lab's"):
        state.claim()
    state.remove()
    assert (tmp_path / "thesis.tex").exists()


def test_down_without_a_lab_changes_nothing(tmp_path: Path) -> None:
    """Taking down what is not there is fine, and leaves the directory as it is."""
    (tmp_path / "thesis.tex").touch()
    assert (Lab(tmp_path).down(), Lab(tmp_path / "nothing").down()) == (False, False)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """The error says which directory, and why."""
    (tmp_path / "file").touch()
    with pytest.raises(LabError, match=r"/file/lab cannot be used: .*--state-dir"):
        StateDirectory(tmp_path / "file" / "lab").claim()


def test_too_long_a_path_is_refused(tmp_path: Path) -> None:
    """UNIX sockets in it would not open, so the error comes before anything is started."""
    with pytest.raises(LabError, match="too long"):
        StateDirectory(tmp_path / ("x" * 80)).claim()


def test_too_little_space_is_named(state: StateDirectory) -> None:
    """A full disk is found before the start: directory, what is left, what is needed."""
    with pytest.raises(LabError, match=rf"the disk of {state.path} has \d+ MB left, a lab needs 1099511627776 MB"):
        state.require_space(needed=2**60)


def test_a_disk_that_fills_up_is_named(state: StateDirectory) -> None:
    """Running out of space on the way gives the same sentence, whether we or a server hit the end."""
    with pytest.raises(LabError, match=f"the disk of {state.path} has"), disk_errors(state):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(LabError, match=f"the disk of {state.path} has"), disk_errors(state):
        raise LabError("initdb failed: could not write: No space left on device")


def test_secrets_are_private_and_stay(state: StateDirectory) -> None:
    """A secret is made once, differs from others, and only its owner can read it."""
    first, second = state.secret("one"), state.secret("two")
    assert first.read_text() == state.secret("one").read_text() != second.read_text()
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert stat.S_IMODE(first.parent.stat().st_mode) == 0o700


def test_remove_leaves_nothing(state: StateDirectory) -> None:
    """The directory goes away with everything in it."""
    state.secret("one")
    state.remove()
    assert not state.path.exists()


def test_temporary_directories_differ() -> None:
    """Each `--once` has a directory of its own."""
    first, second = temporary_directory(), temporary_directory()
    first.rmdir()
    second.rmdir()
    assert first != second


def test_what_was_abandoned_is_cleared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Temporary labs whose owner has died go away; those in use, and what is not a lab's, stay."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    abandoned, used, foreign = (StateDirectory(temporary_directory()) for _ in range(3))
    abandoned.claim()
    abandoned.release()
    used.claim()
    (foreign.path / "thesis.tex").touch()
    clear_abandoned()
    assert [state.path.exists() for state in (abandoned, used, foreign)] == [False, True, True]
    used.release()


def test_a_removal_that_was_killed_is_finished(state: StateDirectory) -> None:
    """Whatever has gone already, what is left is still known as a lab's, and goes away."""
    state.secret("one")
    state.empty()
    assert (state.is_ours(), sorted(path.name for path in state.path.iterdir())) == (True, ["lab", "lock"])
    state.release()
    assert (Lab(state.path).down(), state.path.exists()) == (True, False)


def test_what_is_being_removed_is_not_taken_over(state: StateDirectory) -> None:
    """A directory that its lab is just deleting does not come back."""
    other = StateDirectory(state.path)
    with pytest.raises(LabError, match="another lab is using"):
        other.take_over()
    state.remove()
    assert (other.take_over(), state.path.exists()) == (False, False)
