"""`alerts` and `dashboards` on the command line: what they write, what they refuse, and their exit codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from typer import Typer
from typer.testing import CliRunner, Result

from observability.alerts import ALERTS
from observability.alerts.files import files as alert_files
from observability.cli import alerts, dashboards
from observability.dashboards.render import files as dashboard_files

Files: TypeAlias = Callable[[], dict[str, str]]

RENDER = (alerts.app, "render", alert_files)
EXPORT = (dashboards.app, "export", dashboard_files)
both = pytest.mark.parametrize(
    ("app", "command", "files"), [pytest.param(*RENDER, id="alerts"), pytest.param(*EXPORT, id="dashboards")]
)


def run(app: Typer, *arguments: str | Path) -> Result:
    """The command's answer, on a wide terminal without colours."""
    environment = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)


def written(directory: Path) -> dict[str, str]:
    """Every file below the directory."""
    return {
        path.relative_to(directory).as_posix(): path.read_text(encoding="utf-8")
        for path in directory.rglob("*")
        if path.is_file()
    }


@both
def test_everything_is_written(app: Typer, command: str, files: Files, tmp_path: Path) -> None:
    """A directory that does not exist is made, and holds exactly the generated files."""
    result = run(app, command, tmp_path / "new")
    assert result.exit_code == 0, result.output
    assert written(tmp_path / "new") == files()


@both
def test_check_names_what_differs_and_writes_nothing(app: Typer, command: str, files: Files, tmp_path: Path) -> None:
    """`--check` is for CI: it exits 1, says which file and what to run, and leaves all as it is."""
    run(app, command, tmp_path)
    names = sorted(files())
    changed, gone = tmp_path / names[0], tmp_path / names[1]
    changed.write_text(changed.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    gone.unlink()
    before = written(tmp_path)
    result = run(app, command, tmp_path, "--check")
    assert result.exit_code == 1
    assert f"{changed} differs" in result.output
    assert f"{gone} is missing" in result.output
    assert f"{command} {tmp_path}" in result.output
    assert written(tmp_path) == before


@both
def test_check_is_silent_about_what_is_right(app: Typer, command: str, files: Files, tmp_path: Path) -> None:  # noqa: ARG001
    """An up-to-date directory exits 0."""
    run(app, command, tmp_path)
    result = run(app, command, tmp_path, "--check")
    assert (result.exit_code, "all up to date" in result.output) == (0, True)


@both
def test_files_of_others_are_left_alone(app: Typer, command: str, files: Files, tmp_path: Path) -> None:
    """A file that we did not make is never replaced, and then nothing at all is written."""
    name = min(files())
    (tmp_path / name).write_text("mine", encoding="utf-8")
    result = run(app, command, tmp_path)
    assert result.exit_code == 2
    assert "was not made by this command" in result.output
    assert written(tmp_path) == {name: "mine"}


def test_what_nothing_declares_any_more_is_removed(tmp_path: Path) -> None:
    """A rule file of a family that is gone would go on firing; a file of somebody else stays."""
    run(alerts.app, "render", tmp_path)
    orphan, foreign = tmp_path / "rules" / "old.yml", tmp_path / "rules" / "mine.yml"
    orphan.write_text((tmp_path / "rules" / "meta.yml").read_text(encoding="utf-8"), encoding="utf-8")
    foreign.write_text("groups: []\n", encoding="utf-8")
    checked = run(alerts.app, "render", tmp_path, "--check")
    assert (checked.exit_code, "old.yml is generated, but nothing declares it" in checked.output) == (1, True)
    assert run(alerts.app, "render", tmp_path).exit_code == 0
    assert (orphan.exists(), foreign.exists()) == (False, True)


@both
def test_a_directory_that_cannot_be_written(app: Typer, command: str, files: Files, tmp_path: Path) -> None:  # noqa: ARG001
    """The place and the reason are said, without a traceback."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    result = run(app, command, tmp_path / "file" / "below")
    assert (result.exit_code, "Not a directory" in result.output) == (2, True)


@pytest.mark.parametrize(
    ("app", "arguments", "said"),
    [
        pytest.param(alerts.app, ("render", "x", "--controller-url", "host:1"), "is not a URL", id="controller"),
        pytest.param(alerts.app, ("render", "x", "--grafana-url", "host"), "is not a URL", id="grafana"),
        pytest.param(dashboards.app, ("export", "x", "--datasource-uid", "a b"), "1 to 40 letters", id="uid"),
        pytest.param(dashboards.app, ("export", "x", "--scrape-interval", "15"), "such as 15s", id="interval"),
        pytest.param(dashboards.app, ("export", "x", "--prometheus-url", "host"), "begins with http", id="prometheus"),
    ],
)
def test_wrong_options_are_refused(app: Typer, arguments: tuple[str, ...], said: str) -> None:
    """A mistake is named with the way out before anything is written."""
    result = run(app, *arguments)
    assert (result.exit_code, said in result.output) == (2, True), result.output
    assert not Path("x").exists()


def test_the_list_has_every_alert() -> None:
    """`alerts list` is the table of contents."""
    result = run(alerts.app, "list")
    assert result.exit_code == 0
    assert [alert.name for alert in ALERTS if alert.name not in result.output] == []
