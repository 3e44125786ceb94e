"""The page about failover names every reason and every rule, and tells the defaults that the code has."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from observability.failover.model import HoldReason, Mode, Rules
from observability.settings.models import RulesSettings

PAGE = (Path(__file__).parents[3] / "docs" / "failover.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("reason", HoldReason)
def test_each_reason_is_explained(reason: HoldReason) -> None:
    """Whoever reads a reason on a graph finds what it means."""
    assert f"| `{reason}` | " in PAGE


def test_no_other_reason_is_explained() -> None:
    """A reason that no longer exists is not in the table either."""
    table = PAGE.partition("| reason to hold |")[2].partition("\n\n")[0]
    assert [row.split("`")[1] for row in table.splitlines()[2:]] == [reason.value for reason in HoldReason]


@pytest.mark.parametrize(("rule", "default"), asdict(Rules()).items())
def test_each_rule_has_its_default(rule: str, default: float) -> None:
    """The table of rules says what holds when nothing is configured, and so do the settings."""
    assert f"| `{rule}` | {default:.10g} |" in PAGE
    assert RulesSettings.model_fields[rule].default == default


@pytest.mark.parametrize("mode", Mode)
def test_each_mode_is_named(mode: Mode) -> None:
    """Every value of `mode` is in the example."""
    example = PAGE.partition("  mode: ")[2].partition("\n")[0]
    assert mode in example
