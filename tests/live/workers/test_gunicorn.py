"""Real workers of gunicorn that are recycled all the time: nothing of what they did is lost, and nothing is counted twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from observability.instrumentation.pool.metrics import CHECKOUTS
from observability.instrumentation.workers.metrics import STARTS
from tests.live.workers.serving import gunicorn, serving, until

WORKERS = 2
REQUESTS = 40


@pytest.mark.parametrize(
    ("options", "directory_given"),
    [
        pytest.param((), False, id="by itself"),
        pytest.param(("--preload",), False, id="preloaded"),
        pytest.param(("--preload", "--threads", "2"), True, id="threads, directory given"),
    ],
)
def test_recycled_workers_lose_nothing(tmp_path: Path, options: tuple[str, ...], directory_given: bool) -> None:
    """Each worker ends after ten requests; the sum over all generations is what was asked."""
    given = {"HA_MULTIPROCESS_DIR": str(tmp_path / "given")} if directory_given else {}
    server = gunicorn(tmp_path, WORKERS, "--max-requests", "10", *options, **given)
    with serving(server, WORKERS):
        answered = {server.get() for _ in range(REQUESTS)}
        assert len(answered) > WORKERS
        assert server.requests == REQUESTS
        until(lambda: server.value(CHECKOUTS, "core") == REQUESTS)
        assert server.value(STARTS) >= len(answered)
        assert (tmp_path / "given" / "workers").exists() == directory_given
