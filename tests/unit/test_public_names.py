"""The names that users import, in whatever order they do."""

from __future__ import annotations

import subprocess
import sys

import pytest

import observability


def run(program: str) -> str:
    """The output of a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_are_sorted_and_exist() -> None:
    """Each name in `__all__` can be had, and none is missing from `dir`."""
    assert sorted(observability.__all__) == list(observability.__all__)
    assert all(getattr(observability, name) is not None for name in observability.__all__)
    assert set(observability.__all__) <= set(dir(observability))


def test_unknown_name() -> None:
    """A name that does not exist is an AttributeError, as everywhere."""
    with pytest.raises(AttributeError, match="has no attribute 'instrumnet'"):
        observability.instrumnet  # noqa: B018


@pytest.mark.parametrize(
    "before",
    [
        "",
        "import observability.instrumentation",
        "import observability.instrumentation.pool.monitor",
        "import observability.metrics, observability.probes.probe, observability.exposition",
        "from observability import *",
    ],
)
def test_whatever_was_imported_before(before: str) -> None:
    """No subpackage takes the name of a function."""
    program = f"{before}\nfrom observability import instrument, metrics_app, Metric, Probe\nprint(instrument.__name__, metrics_app.__name__)"
    assert run(program) == "instrument metrics_app\n"


def test_cost_nothing_until_they_are_used() -> None:
    """To import the package imports nothing else."""
    program = "import sys; before = set(sys.modules); import observability; print(sorted(set(sys.modules) - before))"
    assert run(program) == "['observability']\n"
