"""The committed alerts/ and dashboards/ are what their declarations say, with nothing missing and nothing left over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from observability.alerts.files import files as alert_files
from observability.dashboards.render import files as dashboard_files

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("directory", "files"),
    [pytest.param("alerts", alert_files, id="alerts"), pytest.param("dashboards", dashboard_files, id="dashboards")],
)
def test_committed_files_are_the_generated_ones(
    directory: str, files: Callable[[], dict[str, str]], update_golden: bool
) -> None:
    """After a change of a declaration `make generate` (or --update-golden) writes them again, and review sees how."""
    generated = files()
    if update_golden:
        for name, text in generated.items():
            path = ROOT / directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    committed = {
        path.relative_to(ROOT / directory).as_posix(): path.read_text(encoding="utf-8")
        for path in (ROOT / directory).rglob("*")
        if path.is_file()
    }
    assert committed == generated
