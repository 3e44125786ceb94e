"""Options and profiles of the whole test run."""

from __future__ import annotations

import pytest
from hypothesis import settings

# Wide enough to find what is wrong, short enough to be run at each change; no example is kept between runs.
settings.register_profile("quick", max_examples=60, deadline=None, database=None)
settings.register_profile("thorough", max_examples=2_000, deadline=None)
settings.load_profile("quick")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update-golden` writes the expected artefacts of tests/golden anew; look at the difference before you commit."""
    parser.addoption("--update-golden", action="store_true", help="write the files of tests/golden anew")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be written instead of compared."""
    return bool(request.config.getoption("--update-golden"))
