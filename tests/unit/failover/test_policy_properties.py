"""What must hold of the policy for every observation, however strange."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from observability.errors import Reason
from observability.failover.model import Hold, LastPrimary, Look, NodeView, Observation, Promote, Rules, Sight
from observability.failover.policy import plan
from tests.unit.failover.scenes import ALERT, LAST, LSN, NOW, RULES, SYSTEM, gone, primary, seen, standby

NODES = ("pg-1", "pg-2", "pg-3")
TIMES = st.one_of(st.none(), st.sampled_from([NOW - 5000, NOW - 9, NOW - 4, NOW - 1.2, NOW]), st.floats())
LSNS = st.one_of(st.none(), st.sampled_from([LSN, LSN - 8, LSN - RULES.max_lag_bytes, LSN - RULES.max_lag_bytes - 1]))
AGES = st.one_of(st.none(), st.sampled_from([0.0, 4.9, 5.0, 60.0]), st.floats())
FLAGS = st.one_of(st.none(), st.booleans())


def views(node: str) -> st.SearchStrategy[NodeView]:
    """Any reading of a server: half of them without an answer, the others with anything in each field."""
    answers = st.builds(
        standby,
        st.just(node),
        in_recovery=FLAGS,
        system_identifier=st.sampled_from([SYSTEM, SYSTEM, SYSTEM, "1", None]),
        timeline=st.sampled_from([1, 1, 1, 0, 2, None]),
        received_lsn=LSNS,
        replay_paused=FLAGS,
        receiving=FLAGS,
        heard_seconds=AGES,
    )
    return st.one_of(st.builds(gone, st.just(node), st.sampled_from(Reason)), answers, st.just(standby(node)))


ANY_LOOK = st.tuples(*(views(node) for node in NODES))
FIT_LOOK = st.tuples(st.just(gone()), st.just(standby()), views("pg-3"))
LOOKS = st.one_of(st.lists(FIT_LOOK, min_size=2, max_size=2), st.lists(st.one_of(FIT_LOOK, ANY_LOOK), max_size=3))
MEMORIES = st.one_of(
    st.none(),
    st.just(LAST),
    st.builds(
        LastPrimary,
        node=st.sampled_from([*NODES, "pg-9"]),
        system_identifier=st.just(SYSTEM),
        timeline=st.sampled_from([1, 1, 2]),
        lsn=st.sampled_from([LSN, LSN + 8, 0]),
        seen_at=st.one_of(st.just(NOW - 5), st.floats()),
        missed_at=TIMES,
        changed_at=TIMES,
        synchronous=st.sampled_from([(), ("pg-2",)]),
    ),
)


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    """Any observation of the cluster: any looks, any memory, any alert."""
    looks = tuple(Look(at=NOW - 2 + i / 2, views=chosen) for i, chosen in enumerate(draw(LOOKS)))
    alert = replace(
        ALERT,
        firing=draw(st.sampled_from([True, True, True, False])),
        action=draw(st.sampled_from(["failover", "failover", "failover", "", "reboot"])),
        starts_at=draw(st.one_of(st.just(NOW - 3), st.floats())),
    )
    nodes = draw(st.sampled_from([NODES, NODES, NODES[:2], ()]))
    return Observation(cluster="demo", at=NOW, alert=alert, nodes=nodes, looks=looks, last_primary=draw(MEMORIES))


RULES_STRICT_AND_LOOSE = st.sampled_from([RULES, replace(RULES, max_lag_bytes=0), Rules(confirm_looks=1)])


@settings(max_examples=400, deadline=None)
@given(observations(), RULES_STRICT_AND_LOOSE)
def test_promotion_only_with_everything_known(observation: Observation, rules: Rules) -> None:
    """Whoever is promoted is a running copy within the RPO, in sight of most, with no primary in anybody's sight."""
    decision = plan(observation, rules)
    if isinstance(decision, Hold):
        return
    last = observation.last_primary
    assert last is not None
    assert len(observation.looks) >= rules.confirm_looks
    assert not [view for view in observation.views if view.in_recovery is False and view.reason is Reason.OK]
    assert not [view for view in observation.views if view.sight is Sight.UNCLEAR]
    answering = [view for view in observation.latest if view.sight is Sight.STANDBY and view.node in observation.nodes]
    assert 2 * len(answering) >= len(observation.nodes)
    for view in answering:
        assert view.receiving is False or (view.heard_seconds or 0) >= rules.standby_silence_seconds
    (chosen,) = [view for view in answering if view.node == decision.candidate]
    assert (chosen.system_identifier, chosen.timeline, chosen.replay_paused) == (SYSTEM, last.timeline, False)
    assert chosen.received_lsn is not None
    assert last.lsn - chosen.received_lsn <= rules.max_lag_bytes
    assert rules.max_lag_bytes or chosen.node in last.synchronous
    assert 0 <= NOW - observation.alert.starts_at <= rules.alert_max_age_seconds or observation.alert.starts_at > NOW
    assert observation.alert.firing
    assert observation.alert.action == "failover"


def test_promotions_are_among_the_observations() -> None:
    """The strategy above does reach promotions, or the property would hold of nothing."""
    found = find(
        observations(),
        lambda observation: isinstance(plan(observation, RULES), Promote),
        settings=settings(max_examples=5_000, phases=[Phase.generate]),
        random=Random(1),
    )
    assert isinstance(plan(found, RULES), Promote)


@given(st.integers(0, 1), st.sampled_from(NODES), st.one_of(st.none(), st.integers(0, 9)), TIMES)
def test_one_sight_of_a_primary_is_enough(look: int, node: str, timeline: int | None, at: float | None) -> None:
    """Where all would be promoted, one reading as primary in one look closes every gate."""
    promotable = seen()
    assert isinstance(plan(promotable, RULES), Promote)
    sighting = primary(node, timeline=timeline, system_identifier=None, current_lsn=None, at=at or NOW)
    looks = list(promotable.looks)
    looks[look] = replace(
        looks[look], views=tuple(sighting if view.node == node else view for view in looks[look].views)
    )
    assert isinstance(plan(replace(promotable, looks=tuple(looks)), RULES), Hold)


@given(
    st.sampled_from(["system_identifier", "timeline", "received_lsn", "replay_paused", "receiving", "in_recovery"]),
    st.booleans(),
)
def test_one_unknown_is_enough(field: str, failing: bool) -> None:
    """Where all would be promoted, one fact that is unknown of every standby closes the gates."""
    changes: dict[str, Any] = {field: None} | ({"reason": Reason.ERROR} if failing else {})
    unknown = seen(gone(), standby(**changes), standby("pg-3", **changes))
    assert isinstance(plan(unknown, RULES), Hold)
