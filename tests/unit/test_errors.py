"""The tree of errors is as it is drawn."""

from __future__ import annotations

import re

from observability import errors
from observability.errors import ObservabilityError, Reason, SettingsError


def drawn() -> dict[str, list[str]]:
    """The names in the drawing, each with the bases that it shows."""
    tree = re.findall(r"[├└]── (\w+)(?:\((\w+)\))?", errors.__doc__ or "")
    return {name: ["ObservabilityError", *([also] if also else [])] for name, also in tree}


def test_tree_in_the_docstring_is_the_real_one() -> None:
    """Whoever reads the drawing knows what to catch."""
    real = {
        name: [base.__name__ for base in value.__bases__]
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, ObservabilityError) and value is not ObservabilityError
    }
    assert real == drawn()


def test_settings_error_carries_every_problem() -> None:
    """All mistakes travel together, and read one a line."""
    error = SettingsError(["a.yaml:1: one", "a.yaml:2: two"])
    assert error.problems == ["a.yaml:1: one", "a.yaml:2: two"]
    assert str(error) == "a.yaml:1: one\na.yaml:2: two"


def test_reasons_are_fit_for_labels() -> None:
    """A reason is a short lower-case word, since it becomes a label value."""
    assert [reason for reason in Reason if not re.fullmatch(r"[a-z_]{2,24}", reason)] == []
