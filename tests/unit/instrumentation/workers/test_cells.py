"""What is counted in cells is what is read from their file, however their writer ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from observability.instrumentation.workers.cells import CELL_BYTES, CHUNK_BYTES, Cells
from observability.instrumentation.workers.counting import SharedObservations, shared_counts, shared_observations
from observability.instrumentation.workers.mirror import Mirror
from observability.instrumentation.workers.reading import Counters
from observability.instrumentation.workers.rows import Attributes, Labels
from observability.metrics import Batch, Histogram, Metric, Sample, Value
from tests.unit.instrumentation.workers.made import APP, DONE, LAG, SPENT, TIME

Read = dict[tuple[str, Attributes, Labels], Value]


def read(counters: Counters) -> Read:
    """Everything that is read, by name, attributes and labels."""
    return {(row.metric.name, row.attributes, row.labels): row.value for row in counters.rows()}


@pytest.fixture
def stem(tmp_path: Path) -> Path:
    """The path of a worker's files, without their endings."""
    return tmp_path / "0-1"


def test_what_is_counted_is_read_at_once(stem: Path) -> None:
    """A reader sees each count without the writer doing anything for it."""
    cells = Cells(stem, {"pid": 7})
    counts, times, counters = (
        shared_counts(cells, APP),
        shared_observations(cells, TIME, APP, ("core",)),
        Counters(stem),
    )
    expected: Read = {("ha.made.time", APP, ("core",)): Histogram([0, 0, 0], 0.0)}
    assert read(counters) == expected
    counts[DONE, ("core",)] += 2
    times.add(0.5, TIME.buckets)
    times.add(7.0, TIME.buckets)
    assert read(counters) == {
        ("ha.made.done", APP, ("core",)): 2,
        ("ha.made.time", APP, ("core",)): Histogram([0, 1, 1], 7.5),
    }
    assert counters.header == {"pid": 7}
    cells.close()


def test_more_series_than_one_chunk_holds(stem: Path) -> None:
    """The file grows with what is counted, and cells that were taken before stay where they are."""
    cells = Cells(stem, {})
    counts = shared_counts(cells, ())
    pools = [str(number) for number in range(CHUNK_BYTES // CELL_BYTES + 10)]
    for value, pool in enumerate(pools):
        counts[DONE, (pool,)] = value
    counts[DONE, ("0",)] = 5
    assert list(read(Counters(stem)).values()) == [5, *range(1, len(pools))]
    assert cells.path.stat().st_size == 2 * CHUNK_BYTES
    cells.close()


def test_several_cells_add_up_to_one_series(stem: Path) -> None:
    """A series may be counted in several places, and a place may count against it."""
    cells = Cells(stem, {})
    block = cells.take(3)
    cells.describe(DONE, (), ("core",), plus=[[block.first, 2]], minus=[[block.first + 2, 1]])
    block.integers[0], block.integers[1], block.integers[2] = 5, 6, 1
    other = cells.take(1)
    cells.describe(DONE, (), ("core",), plus=[[other.first, 1]])
    other.integers[0] = 100
    assert sum(float(row.value) for row in Counters(stem).rows() if not isinstance(row.value, Histogram)) == 110
    cells.close()


def test_a_series_described_again_is_renamed(stem: Path) -> None:
    """What was counted under an old name is told under the new one, also to who has read the old."""
    cells, counters = Cells(stem, {}), Counters(stem)
    block = cells.take(1)
    for pool in ("127.0.0.1:5432/app", "core"):
        cells.describe(DONE, (), (pool,), plus=[[block.first, 1]])
        block.integers[0] += 1
        seen = read(counters)
    assert seen == {("ha.made.done", (), ("core",)): 2}
    cells.close()


def test_a_line_that_is_not_complete_is_left_for_later(stem: Path) -> None:
    """A writer that was killed within a line, or that has not finished it, costs that line alone."""
    cells, counters = Cells(stem, {}), Counters(stem)
    counts = shared_counts(cells, ())
    counts[DONE, ("core",)] = 1
    line = json.dumps({"series": [SPENT.prometheus_name, [], []], "float": 1}).encode()
    with stem.with_suffix(".series").open("ab") as file:
        file.write(line[:9])
        file.flush()
        assert read(counters) == {("ha.made.done", (), ("core",)): 1}
    cells.close()


def test_after_they_are_closed_cells_are_ordinary_memory(stem: Path) -> None:
    """Who counts on after the files were let go of, as a process does that is about to end, writes into nobody's file."""
    cells = Cells(stem, {})
    times = shared_observations(cells, TIME, (), ("core",))
    cells.close()
    times.add(0.5, TIME.buckets)
    shared_observations(cells, TIME, (), ("late",)).add(0.5, TIME.buckets)
    assert read(Counters(stem)) == {("ha.made.time", (), ("core",)): Histogram([0, 1, 0], 0.5)}


def test_a_series_larger_than_a_chunk_is_a_problem_and_no_error(stem: Path) -> None:
    """Who counts is never told no; the reader of `problem` is."""
    cells = Cells(stem, {})
    block = cells.take(CHUNK_BYTES)
    block.integers[CHUNK_BYTES - 1] = 1
    assert cells.problem == f"{cells.path} has no room for a series of {CHUNK_BYTES} cells"
    assert isinstance(shared_observations(cells, TIME, (), ("core",)), SharedObservations)
    cells.close()


NO_ROOM = """
import resource, sys
from pathlib import Path
from observability.instrumentation.workers.cells import CHUNK_BYTES, Cells
from observability.instrumentation.workers.counting import shared_counts
from tests.unit.instrumentation.workers.made import DONE
cells = Cells(Path(sys.argv[1]), {})
counts = shared_counts(cells, ())
resource.setrlimit(resource.RLIMIT_FSIZE, (CHUNK_BYTES + 100, CHUNK_BYTES + 100))
for number in range(CHUNK_BYTES):
    counts[DONE, (str(number),)] += 1
assert sum(counts.values()) == CHUNK_BYTES
print(cells.problem)
"""


def test_no_room_is_a_problem_and_no_death(stem: Path) -> None:
    """Where the file system has no more room the process counts on in ordinary memory; it is not killed by a mapped page."""
    done = subprocess.run(
        [sys.executable, "-c", NO_ROOM, str(stem)], capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == f"{stem}.cells cannot grow: No space left on device"


def mirrored(*samples: Sample, since: float | None = None) -> list[tuple[Batch, frozenset[Metric]]]:
    """What a worker has collected, nothing of it counted in cells."""
    return [(Batch((), samples, since), frozenset())]


def test_a_mirror_writes_down_what_others_count(stem: Path) -> None:
    """Counters and histograms of ordinary memory are copied; what is so only now is not."""
    cells = Cells(stem, {})
    mirror = Mirror(cells)
    for number in (1, 2):
        mirror.write(
            mirrored(SPENT.sample(0.5 * number), TIME.sample(Histogram((number, 0, 1), 2.0), "core"), LAG.sample(1.0))
        )
    assert read(Counters(stem)) == {
        ("ha.made.spent", (), ()): 1.0,
        ("ha.made.time", (), ("core",)): Histogram([2, 0, 1], 2.0),
    }
    cells.close()


@pytest.mark.parametrize(
    ("tellings", "total"),
    [
        pytest.param([(5.0, 1.0), (2.0, 1.0)], 7.0, id="a smaller value"),
        pytest.param([(5.0, 1.0), (8.0, 2.0)], 13.0, id="a later beginning"),
        pytest.param([(5.0, 1.0), (5.0, 1.0), (6.0, 1.0)], 6.0, id="the same source"),
    ],
)
def test_a_source_that_begins_anew_takes_nothing_away(
    stem: Path, tellings: list[tuple[float, float]], total: float
) -> None:
    """An engine made anew under the name of one that is gone begins from nothing; what that had counted stays."""
    cells = Cells(stem, {})
    mirror = Mirror(cells)
    for value, since in tellings:
        mirror.write(mirrored(SPENT.sample(value), since=since))
    assert read(Counters(stem)) == {("ha.made.spent", (), ()): total}
    cells.close()


def test_of_two_sources_with_one_name_the_first_counts(stem: Path) -> None:
    """As in every sink; and the two are not taken for one that begins anew each time."""
    cells = Cells(stem, {})
    mirror = Mirror(cells)
    for _ in range(3):
        mirror.write([*mirrored(SPENT.sample(5.0), since=1.0), *mirrored(SPENT.sample(3.0), since=2.0)])
    assert read(Counters(stem)) == {("ha.made.spent", (), ()): 5.0}
    cells.close()
