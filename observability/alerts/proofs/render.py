"""Tests for `promtool test rules`, made from the proofs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from observability.alerts.document import to_yaml
from observability.alerts.proofs import PROOFS
from observability.alerts.proofs.proof import Given, Proof
from observability.alerts.render import GENERATED, LINKS, Links, rule_annotations, rule_labels

CLUSTER, OTHER = "demo", "other"

FAULT_SECONDS = 60
"""When the fault begins."""
_HELD_SECONDS = 20
"""How much longer than `for` it lasts."""
_REST_SECONDS = 10
"""How much longer than `keep_firing_for` a test goes on afterwards."""

_LABEL = re.compile(r"\{\{ \$labels\.(\w+) \}\}")


def promtool_files(proofs: Mapping[str, Sequence[Proof]] = PROOFS, *, links: Links = LINKS) -> dict[str, str]:
    """Files for `promtool test rules` by their names; they expect the rules in `../rules`."""
    return {
        f"{family}.yml": to_yaml(
            {
                "rule_files": [f"../rules/{family}.yml"],
                "evaluation_interval": "1s",
                "tests": [test for proof in inside for test in _tests(proof, family, links)],
            },
            GENERATED,
        )
        for family, inside in proofs.items()
    }


def _tests(proof: Proof, family: str, links: Links) -> Iterator[dict[str, Any]]:
    name, series = proof.alert.name, proof.series
    here, there = _expected(proof, family, CLUSTER, links), _expected(proof, family, OTHER, links)
    per_cluster = "cluster" in proof.alert.labels
    whole = _end(proof)
    fires_at = FAULT_SECONDS + proof.alert.for_seconds
    ends_at = fires_at + _HELD_SECONDS

    checks = [(fires_at, [here]), (ends_at - 1, [here])]
    if not proof.always:
        checks = [(fires_at - 1, []), *checks]
        if proof.alert.keep_firing_seconds:
            checks.append((ends_at + proof.alert.keep_firing_seconds - 1, [here]))
        checks.append((ends_at + proof.alert.keep_firing_seconds + 1, []))
    yield _test(f"{name} fires", _fault(series, CLUSTER, proof), _checks(name, checks))

    silent = [here] if proof.always else []
    yield _test(f"{name} while all is well", _healthy(series, CLUSTER, whole), _checks(name, [(whole, silent)]))
    for way in proof.other_ways:
        yield _test(f"{name} fires: {way.name}", _fault(way.series, CLUSTER, proof), _checks(name, checks[:-1]))
    for miss in proof.near_misses:
        yield _test(
            f"{name} near miss: {miss.name}", _fault(miss.series, CLUSTER, proof), _checks(name, [(ends_at - 1, [])])
        )

    vanished = [here] if proof.fires_on_vanish else []
    yield _test(f"{name} when its series vanish", _vanish(series, proof), _checks(name, [(ends_at, vanished)]))

    one = [*_fault(series, CLUSTER, proof), *_healthy(series, OTHER, whole)]
    expected_of_one = [here] if per_cluster or proof.always else []
    yield _test(f"{name} with one of two clusters", one, _checks(name, [(ends_at - 1, expected_of_one)]))
    two = [*_fault(series, CLUSTER, proof), *_fault(series, OTHER, proof)]
    both = [here, there] if per_cluster else [here]
    yield _test(f"{name} with both of two clusters", two, _checks(name, [(ends_at - 1, both)]))


def _rest(proof: Proof) -> int:
    return proof.alert.keep_firing_seconds + _REST_SECONDS


def _end(proof: Proof) -> int:
    return FAULT_SECONDS + proof.alert.for_seconds + _HELD_SECONDS + _rest(proof)


def _expected(proof: Proof, family: str, cluster: str, links: Links) -> dict[str, Any]:
    """The alert that must fire; the hand-written texts name cluster `demo`."""
    own = {"cluster": cluster, **proof.labels} if "cluster" in proof.alert.labels else dict(proof.labels)
    texts = {"summary": proof.summary, "description": proof.description}
    texts = {field: re.sub(rf"\b{CLUSTER}\b", cluster, text) for field, text in texts.items()}
    urls = {
        field: _LABEL.sub(lambda match: own[match[1]], text)
        for field, text in rule_annotations(proof.alert, links).items()
        if field not in texts
    }
    return {
        "exp_labels": {
            **{name.replace(".", "_"): value for name, value in own.items()},
            **rule_labels(proof.alert, family),
        },
        "exp_annotations": {**texts, **urls},
    }


def _test(name: str, series: list[dict[str, str]], checks: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": name, "interval": "1s", "input_series": series, "alert_rule_test": checks}


def _checks(name: str, checks: Iterable[tuple[int, list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    return [{"eval_time": f"{at}s", "alertname": name, "exp_alerts": expected} for at, expected in checks]


def _fault(series: Sequence[Given], cluster: str, proof: Proof) -> list[dict[str, str]]:
    held = proof.alert.for_seconds + _HELD_SECONDS
    return [
        _input(
            given,
            cluster,
            (given.healthy, FAULT_SECONDS),
            (given.faulty, held),
            (given.healthy, _rest(proof)),
        )
        for given in series
    ]


def _healthy(series: Sequence[Given], cluster: str, seconds: int) -> list[dict[str, str]]:
    return [_input(given, cluster, (given.healthy, seconds)) for given in series]


def _vanish(series: Sequence[Given], proof: Proof) -> list[dict[str, str]]:
    return [_input(given, CLUSTER, (given.healthy, FAULT_SECONDS), (None, _end(proof))) for given in series]


def _input(given: Given, cluster: str, *phases: tuple[float | None, int]) -> dict[str, str]:
    return {"series": given.notation(cluster), "values": " ".join(_values(*phase) for phase in phases)}


def _values(value: float | None, seconds: int) -> str:
    """So many samples, one a second; without a value, the marker that Prometheus writes when a series ends."""
    if value is None:
        return f"stale _x{seconds - 1}"
    return f"{value:g}x{seconds - 1}"
