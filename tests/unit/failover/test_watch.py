"""What the watch keeps in mind of a primary, from look to look."""

from __future__ import annotations

from dataclasses import replace

import pytest

from observability.errors import Reason
from observability.failover.model import LastPrimary, NodeView
from observability.failover.watch import remembered
from tests.unit.failover.scenes import LSN, NOW, SYSTEM, gone, primary, standby

SEEN = LastPrimary(node="pg-1", system_identifier=SYSTEM, timeline=1, lsn=LSN, seen_at=NOW - 1)
LATER = NOW + 9

LOOKS = {
    "the first sight of a primary": (None, [primary(), standby()], SEEN),
    "never any": (None, [gone(), standby()], None),
    "it moved on": (
        SEEN,
        [primary(current_lsn=LSN + 8, at=NOW, synchronous=("pg-2",)), standby()],
        replace(SEEN, lsn=LSN + 8, seen_at=NOW, synchronous=("pg-2",)),
    ),
    "it is missed": (SEEN, [gone(), standby()], replace(SEEN, missed_at=LATER)),
    "it answers without a role": (SEEN, [gone(reason=Reason.STARTING)], replace(SEEN, missed_at=LATER)),
    "it is still missed": (replace(SEEN, missed_at=NOW), [gone(), standby()], replace(SEEN, missed_at=NOW)),
    "it is back": (replace(SEEN, missed_at=NOW), [primary(), standby()], SEEN),
    "another has taken over": (
        replace(SEEN, missed_at=NOW),
        [gone(), primary("pg-2", timeline=2)],
        replace(SEEN, node="pg-2", timeline=2, changed_at=NOW - 1),
    ),
    "the change is remembered": (
        replace(SEEN, changed_at=NOW - 500),
        [primary(at=NOW), standby()],
        replace(SEEN, seen_at=NOW, changed_at=NOW - 500),
    ),
    "another on the same timeline": (
        SEEN,
        [primary("pg-2")],
        replace(SEEN, node="pg-2", changed_at=NOW - 1),
    ),
    "an old primary wakes up": (
        replace(SEEN, node="pg-2", timeline=2),
        [primary(), gone("pg-2")],
        replace(SEEN, node="pg-2", timeline=2, missed_at=LATER),
    ),
    "a new cluster in the same place": (
        replace(SEEN, timeline=7),
        [primary(system_identifier="1")],
        replace(SEEN, system_identifier="1", changed_at=NOW - 1),
    ),
    "two at once: the memory grows old": (SEEN, [primary(at=NOW), primary("pg-2", at=NOW)], SEEN),
    "a position that is not known is not one": (SEEN, [primary(current_lsn=None, at=NOW)], SEEN),
    "nor is one without a timeline": (None, [primary(timeline=None)], None),
}


@pytest.mark.parametrize(("before", "views", "after"), LOOKS.values(), ids=LOOKS.keys())
def test_memory(before: LastPrimary | None, views: list[NodeView], after: LastPrimary | None) -> None:
    """Only what was surely seen of one primary replaces what was known."""
    assert remembered(before, views, now=LATER) == after
