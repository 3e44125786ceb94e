"""What a proof must be like, and which tests follow from it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from observability.alerts import FAMILIES, targets
from observability.alerts.proofs import PROOFS
from observability.alerts.proofs.proof import Given, Proof
from observability.alerts.proofs.render import promtool_files
from observability.errors import DeclarationError
from observability.scrape import UP


def test_every_alert_has_one_proof() -> None:
    """The proofs of each family stand in the order of its alerts."""
    proven = {family: [proof.alert.name for proof in proofs] for family, proofs in PROOFS.items()}
    assert proven == {family: [alert.name for alert in alerts] for family, alerts in FAMILIES.items()}


def test_a_proof_names_the_labels_of_its_alert() -> None:
    """A proof that forgets a label would never match what fires."""
    with pytest.raises(DeclarationError, match="labels are"):
        Proof(alert=targets.TARGET_DOWN, series=(), labels={"server": "x"}, summary="", description="")


def test_a_missing_value_ends_its_series() -> None:
    """None becomes the marker with which Prometheus ends a series, not a value that lingers."""
    proof = Proof(
        alert=targets.TARGET_DOWN,
        series=(Given(UP, {"server": "a", "system": "redis"}, 1, None),),
        labels={"server": "a", "system": "redis"},
        summary="",
        description="",
    )
    tests: list[dict[str, Any]] = yaml.safe_load(promtool_files({"targets": (proof,)})["targets.yml"])["tests"]
    assert tests[0]["input_series"] == [
        {"series": 'ha_target_up{cluster="demo", server="a", system="redis"}', "values": "1x59 stale _x29 1x39"}
    ]


@pytest.mark.parametrize("family", PROOFS)
def test_every_alert_is_tested_in_every_way(family: str) -> None:
    """Fires, does not fire, series vanish, one and both of two clusters: for every alert."""
    tests: list[dict[str, Any]] = yaml.safe_load(promtool_files()[f"{family}.yml"])["tests"]
    names = [test["name"] for test in tests]
    for alert in FAMILIES[family]:
        for way in (
            "fires",
            "while all is well",
            "when its series vanish",
            "with one of two clusters",
            "with both of two clusters",
        ):
            assert f"{alert.name} {way}" in names
