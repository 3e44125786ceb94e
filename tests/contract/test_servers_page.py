"""docs/servers.md: its example runs as it stands, and every series that it names exists."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from observability import catalogue
from observability.instrumentation import registry
from observability.instrumentation.health.server import ServerHealth
from observability.instrumentation.runtime.monitor import runtime_metrics
from tests.unit.instrumentation.driving import drive, http_scope

PAGE = (Path(__file__).parents[2] / "docs" / "servers.md").read_text()


async def test_the_first_example() -> None:
    """The two dozen lines that a reader copies give the endpoints that the text promises."""
    [code, *_] = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "servers.md", "exec"), names)
    app: Any = names["app"]
    found = {path: (await drive(app, http_scope(path)))[0]["status"] for path in ("/livez", "/readyz", "/metrics/")}
    assert found == {"/livez": 200, "/readyz": 200, "/metrics/": 200}
    for each in registry.known():
        if isinstance(each, ServerHealth):
            await asyncio.wait_for(each.close(), 10)
    await names["engine"].dispose()
    runtime_metrics().stop()


def test_every_series_exists() -> None:
    """A name in the tables or queries is one that the catalogue has."""
    known = {metric.prometheus_name for metric in catalogue.metrics()}
    named = set(re.findall(r"\b(?:ha|http|process|cpython)_[a-z_]+[a-z]\b", PAGE)) - {"http_route"}
    suffixes = ("_count", "_sum", "_bucket")
    unknown = {name for name in named if name not in known and not name.endswith(suffixes)}
    assert {name for name in unknown if not any(each.startswith(name) for each in known)} == set()
