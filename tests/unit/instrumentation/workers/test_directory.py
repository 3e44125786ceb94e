"""Who sits where, what becomes of what the dead had counted, and how much of it there can be."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from observability.errors import InstrumentationError
from observability.instrumentation.workers.directory import ANY_RUN, Directory, Name, of_supervisor
from observability.instrumentation.workers.group import Group
from observability.instrumentation.workers.supervisor import started
from observability.metrics import Histogram, Value
from tests.unit.instrumentation.workers.made import Past


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the workers meet."""
    return tmp_path / "workers"


def told(path: Path) -> dict[str, Value]:
    """What all workers have done, as somebody tells who is none of them."""
    return {sample.metric.name: sample.value for batch in Group(Directory(path)).collect() for sample in batch.samples}


def test_each_worker_has_a_seat_of_its_own(path: Path) -> None:
    """Seats are taken from the lowest on; one whose worker has ended is taken again, by its second worker."""
    first, second = Past(path), Past(path)
    assert (first.name, second.name) == (Name(0, 1), Name(1, 1))
    first.die()
    third = Past(path)
    assert third.name == Name(0, 2)
    for each in (second, third):
        each.die()


def test_what_was_counted_stays(path: Path) -> None:
    """The sum over the living and the dead is the same before and after a death, and after the seat is taken again."""
    first, second = Past(path), Past(path)
    first.count(3)
    second.count(4)
    expected = {"ha.made.done": 7, "ha.made.time": Histogram([7, 0, 0], 0.875), "ha.worker.starts": 2}
    assert told(path) == expected
    first.die()
    assert told(path) == expected
    third = Past(path)
    assert told(path) == {**expected, "ha.worker.starts": 3}
    third.count(1)
    assert told(path)["ha.made.done"] == 8
    for each in (second, third):
        each.die()


def test_many_generations_leave_no_more_files_than_one(path: Path) -> None:
    """Five hundred workers, two at a time: every count is there, in as many files as two workers need."""
    Past(path).die()
    long_lived = Past(path)
    for _ in range(500):
        short_lived = Past(path)
        short_lived.count(1)
        short_lived.die()
    long_lived.count(7)
    assert told(path)["ha.made.done"] == 507
    assert told(path)["ha.worker.starts"] == 502
    assert sorted(entry.name for entry in path.iterdir()) == [
        "0-2.cells", "0-2.series", "0.lock", "1-500.cells", "1-500.series", "1.lock", "ended.json", "ended.lock",
    ]  # fmt: skip
    long_lived.die()


def test_a_death_between_the_sum_and_the_file_counts_once(path: Path) -> None:
    """A worker that was added to the ended, and whose file is still there because who did it was killed, is counted once."""
    first = Past(path)
    first.count(3)
    copies = {suffix: path.joinpath(f"0-1.{suffix}").read_bytes() for suffix in ("cells", "series")}
    first.die()
    second = Past(path)
    for suffix, content in copies.items():
        path.joinpath(f"0-1.{suffix}").write_bytes(content)
    assert told(path)["ha.made.done"] == 3
    second.count(1)
    second.die()
    third = Past(path)
    assert (told(path)["ha.made.done"], third.name) == (4, Name(0, 3))
    assert sorted(entry.name for entry in path.glob("0-*")) == ["0-3.cells", "0-3.series"]
    third.die()


def test_who_is_frozen_while_it_adds_up_holds_up_nobody(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the sum of the ended is locked, a new worker sits down elsewhere, and what the dead counted is told."""
    import fcntl

    monkeypatch.setattr("observability.instrumentation.workers.directory._PATIENCE_SECONDS", 0.05)
    first = Past(path)
    first.count(3)
    first.die()
    with (path / "ended.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = Past(path)
    assert second.name == Name(1, 1)
    assert told(path)["ha.made.done"] == 3
    second.die()


def test_another_run_of_the_server_begins_anew(path: Path) -> None:
    """What an earlier run has left in the directory is not counted, once nobody of that run lives."""
    old, oldest = Past(path, run="1-100"), Past(path, run="1-100")
    old.count(3)
    old.die()
    joined = Past(path, run="1-200")
    assert told(path)["ha.made.done"] == 3
    for each in (oldest, joined):
        each.die()
    new = Past(path, run="1-200")
    new.count(1)
    assert told(path)["ha.made.done"] == 1
    assert told(path)["ha.worker.starts"] == 1
    new.die()


def test_a_directory_for_one_run_is_never_begun_anew(path: Path) -> None:
    """Programs that are run one after the other in a directory made for them are counted together."""
    directory = Directory(path)
    directory.prepare()
    directory.begin(ANY_RUN)
    for run in ("5-100", "6-200"):
        worker = Past(path, run=run)
        worker.count(2)
        worker.die()
    assert told(path)["ha.made.done"] == 4


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o777])
def test_a_directory_open_to_others_is_refused(path: Path, mode: int) -> None:
    """What lies there is believed, so nobody else may write there."""
    path.mkdir()
    path.chmod(mode)
    with pytest.raises(InstrumentationError, match="nobody else may enter"):
        Directory(path).prepare()


def test_a_link_is_refused(path: Path, tmp_path: Path) -> None:
    """A link that somebody has put in the place of the directory is not followed."""
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InstrumentationError, match="it must be a directory"):
        Directory(path).prepare()


def test_what_dead_supervisors_have_left_is_removed(tmp_path: Path) -> None:
    """A group goes when its supervisor and its workers are gone; another process with the same pid does not keep it."""
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    ended = subprocess.Popen(["true"])
    ended.wait()
    base = of_supervisor(os.getpid(), environ).path.parent
    gone, reused, inhabited = f"{ended.pid}-100", f"{os.getpid()}-1", f"{ended.pid}-200"
    for group in (gone, reused, inhabited):
        worker = Past(base / group)
        if group != inhabited:
            worker.die()
    mine = of_supervisor(os.getpid(), environ)
    assert mine.path.name == f"{os.getpid()}-{started(os.getpid())}"
    assert sorted(entry.name for entry in base.iterdir()) == [inhabited]
    worker.die()


def test_a_directory_that_is_gone_is_no_empty_answer(path: Path) -> None:
    """Who was alone is not told: without the directory there is no figure at all."""
    worker = Past(path)
    for entry in path.iterdir():
        entry.unlink()
    path.rmdir()
    with pytest.raises(InstrumentationError, match="is gone"):
        told(path)
    worker.die()
