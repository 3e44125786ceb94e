"""What the project's files say holds: links lead somewhere, and nothing tells on whose machine it was written."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from observability import catalogue

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
MACHINE = re.compile("|".join(("/" + "work/", "/" + "root/", "/" + "tmp/s/", "/" + "home/[a-z]")))


def files(*patterns: str) -> list[Path]:
    """The project's own files, committed or about to be."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30).stdout
    return [path for line in listed.splitlines() if (path := ROOT / line).is_file()]


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a document, and those that are written into it."""
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    found: set[str] = set(re.findall(r'<a (?:id|name)="([^"]+)"', text))
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", text, flags=re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        number = 0
        while (slug if not number else f"{slug}-{number}") in found:
            number += 1
        found.add(slug if not number else f"{slug}-{number}")
    return found


@pytest.mark.parametrize("document", files("*.md"), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    """Each link within the project leads to a file that is there, and to a heading that is in it."""
    dead = []
    for found in LINK.findall(CODE.sub("", document.read_text())):
        link = found[0] or found[1]
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name) if name else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


def test_no_file_tells_whose_machine_it_was_written_on() -> None:
    """A path of somebody's machine helps nobody else."""
    found = []
    for path in files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in MACHINE.finditer(text)]
    assert found == []


def test_reference_of_metrics_is_up_to_date() -> None:
    """docs/metrics.md has exactly the catalogue's rows; `make generate` writes them."""
    rows = [line for line in catalogue.as_markdown(catalogue.metrics()).splitlines() if line.startswith("| `")]
    written = [line for line in (ROOT / "docs" / "metrics.md").read_text().splitlines() if line.startswith("| `")]
    assert rows == written
