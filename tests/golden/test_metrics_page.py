"""The committed reference of metrics is what the declarations say now."""

from __future__ import annotations

from pathlib import Path

from observability import catalogue

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_the_page_of_metrics_is_up_to_date() -> None:
    """docs/metrics.md equals what `make generate` would write."""
    assert PAGE.read_text(encoding="utf-8") == catalogue.as_markdown(catalogue.metrics())
