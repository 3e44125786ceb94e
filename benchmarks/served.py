"""
What measuring a request costs: ours, its peers, and the least that looking at answers can cost, in one run.

Instructions are counted by callgrind: they are the same on any machine and in any weather, so compare those. Times are of
CPU, the best of many. A peer that is not installed is left out:
`pip install opentelemetry-instrumentation-asgi prometheus-fastapi-instrumentator`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

WORK = Path(__file__).with_name("served_work.py")
FEW, MANY = 100, 300
NAMES = {
    "bare": "bare application",
    "floor": "floor: a middleware with nothing in it",
    "ours": "ours",
    "prometheus_client": "prometheus_client, labels at each request",
    "instrumentator": "prometheus-fastapi-instrumentator",
    "opentelemetry": "opentelemetry-instrumentation-asgi",
}


def run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def instructions(peer: str) -> float | None:
    """Instructions of one request: the difference of two runs is free of what starting costs."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        return None
    counts = []
    for number in (FEW, MANY):
        done = run(
            valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, str(WORK), peer, str(number)
        )
        found = re.search(r"Collected : (\d+)", done.stderr)
        if done.returncode or not found:
            return None
        counts.append(int(found[1]))
    return (counts[1] - counts[0]) / (MANY - FEW)


def main() -> None:
    table = Table("measured by", "instructions", "added", "times ours", "CPU µs", title="One request")
    bare = ours = None
    for peer, name in NAMES.items():
        timed = run(sys.executable, str(WORK), peer)
        if timed.returncode:
            table.add_row(name, "not installed", "", "", "")
            continue
        count = instructions(peer)
        bare = count if peer == "bare" else bare
        added = None if count is None or bare is None else count - bare
        ours = added if peer == "ours" else ours
        table.add_row(
            name,
            "-" if count is None else f"{count:,.0f}",
            "-" if added is None else f"{added:,.0f}",
            f"{added / ours:.1f}" if added and ours else "",
            f"{float(timed.stdout) / 1000:.2f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
