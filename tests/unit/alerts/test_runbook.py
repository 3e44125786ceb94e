"""What every runbook holds."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from observability.alerts import ALERTS
from observability.alerts.alert import Alert
from observability.alerts.runbook import SECTIONS, page, text
from tests.promql import parse, series


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_runbooks_have_all_sections(alert: Alert) -> None:
    """Somebody has written each section, in the order in which it is needed at night."""
    parts = re.split(r"^### (.+)$", text(alert), flags=re.MULTILINE)
    assert parts[1::2] == list(SECTIONS)
    assert all(part.strip() for part in parts[2::2])


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_queries_in_runbooks_parse(alert: Alert) -> None:
    """A command that is copied at night must not be a syntax error."""
    for expression in series(text(alert)):
        parse(expression)


def test_no_runbook_is_left_over() -> None:
    """A text without an alert is a text that nobody finds."""
    texts = {file.name.removesuffix(".md") for file in (files("observability.alerts") / "runbooks").iterdir()}
    assert texts == {alert.name for alert in ALERTS}


def test_each_alert_has_its_anchor() -> None:
    """The links of the alerts lead to a heading of the page."""
    headings = {heading.lower() for heading in re.findall(r"^## (\w+)$", page(), flags=re.MULTILINE)}
    assert headings == {alert.anchor for alert in ALERTS}
