"""What the package promises about itself: its catalogue, its public names, what it imports, who may know whom."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from types import ModuleType

import pytest

import observability
from observability import catalogue
from observability.metrics import Metric
from observability.probes import PROBES
from observability.probes.probe import Probe

ROOT = Path(__file__).parents[2]
PACKAGE = Path(observability.__path__[0])
HEAVY = {
    "aiosqlite", "asyncpg", "fastapi", "grafanalib", "httpx", "opentelemetry", "prometheus_client", "psutil", "psycopg",
    "pydantic", "redis", "rich", "sqlalchemy", "starlette", "typer", "uvicorn", "yaml",
}  # fmt: skip


def modules() -> Iterator[ModuleType]:
    """Every module of the package."""
    yield observability
    for found in walk_packages([str(PACKAGE)], "observability."):
        if not found.name.endswith("__main__"):
            yield import_module(found.name)


MODULES = tuple(modules())
PUBLIC = [pytest.param(module, id=module.__name__) for module in MODULES if hasattr(module, "__all__")]


class TestCatalogue:
    """The catalogue is derived, so nothing that is measured is missing in it."""

    def test_every_declaration_is_in_it(self) -> None:
        """A module's `METRICS`, and every metric that stands in a module under a name of its own, are in the catalogue."""
        listed = set(catalogue.metrics())
        forgotten = {
            f"{module.__name__}: {value.name}"
            for module in MODULES
            for each in vars(module).values()
            for value in (each if isinstance(each, tuple) else (each,))
            if isinstance(value, Metric) and value not in listed
        }
        assert forgotten == set()

    def test_every_probe_is_in_the_table(self) -> None:
        """A file with a probe is asked of targets: it stands in `PROBES`, once."""
        found = [
            value
            for module in MODULES
            if module.__name__.startswith("observability.probes.")
            for value in vars(module).values()
            if isinstance(value, Probe)
        ]
        assert sorted(probe.name for probe in found) == sorted(probe.name for probe in PROBES)
        assert len({probe.name for probe in PROBES}) == len(PROBES)

    def test_names_are_unique_on_both_roads(self) -> None:
        """No two metrics have one name, neither in OpenTelemetry nor, with all suffixes, in Prometheus."""
        listed = catalogue.metrics()
        suffixes = {"histogram": ("_bucket", "_count", "_sum", "")}
        series = [f"{each.prometheus_name}{suffix}" for each in listed for suffix in suffixes.get(each.kind, ("",))]
        twice = [
            name for names in ([each.name for each in listed], series) for name, n in Counter(names).items() if n > 1
        ]
        assert twice == []


class TestPublicNames:
    """What other people import."""

    @pytest.mark.parametrize("module", PUBLIC)
    def test_exist_and_are_in_order(self, module: ModuleType) -> None:
        """`__all__` names what is there: constants, then classes, then functions, each in alphabetical order."""
        names = list(module.__all__)
        assert names == sorted(set(names), key=lambda name: (not name.isupper(), not name[0].isupper(), name))
        assert [name for name in names if not hasattr(module, name)] == []

    @pytest.mark.parametrize("module", PUBLIC)
    def test_explain_themselves(self, module: ModuleType) -> None:
        """Each class and function says what it is."""
        values = {name: getattr(module, name) for name in module.__all__}
        assert [name for name, value in values.items() if callable(value) and not getattr(value, "__doc__", None)] == []

    def test_every_module_says_what_it_is_for(self) -> None:
        """The first lines of a file are its reason to exist."""
        assert [module.__name__ for module in MODULES if not (module.__doc__ or "").strip()] == []


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        pytest.param("import observability", set(), id="the package"),
        pytest.param("import observability.metrics", set(), id="declarations"),
        pytest.param("from observability import Metric, Probe, Sample, metrics_app", set(), id="what a server serves"),
        pytest.param("import observability.probes, observability.scrape, observability.catalogue", set(), id="probes"),
        pytest.param("import observability.export.prometheus", set(), id="the Prometheus sink"),
        pytest.param("import observability.connect", set(), id="the door to drivers"),
        pytest.param("import observability.cli", {"typer"}, id="the command line"),
    ],
)
def test_imports_are_light(statement: str, allowed: set[str]) -> None:
    """Third parties load only where they are used."""
    code = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    assert HEAVY & set(ended.stdout.split()) - allowed == set()


def test_nobody_knows_whom_he_should_not() -> None:
    """The import contracts of pyproject.toml are kept."""
    program = Path(sys.executable).with_name("lint-imports")
    ended = subprocess.run([program], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stdout
