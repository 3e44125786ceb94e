"""The configuration: YAML, environment or both; all mistakes at once, each with its line and the way out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pydantic_settings
from pydantic import ValidationError

from observability.errors import SettingsError
from observability.settings import environment, target_url
from observability.settings.document import Document, Place
from observability.settings.models import FailoverSettings, Settings, TargetSettings, host_and_port, server_name
from observability.settings.problems import Origins, in_order, message

__all__ = ["FailoverSettings", "Settings", "TargetSettings", "host_and_port", "load"]


def load(path: Path | None, env: Mapping[str, str]) -> Settings:
    """
    The settings of the file at `path` and of the environment; without a file, of the environment alone.

    Raises:
        SettingsError: with all mistakes, each with its place and the way out.

    """
    document = _document(path, env)
    overrides = _overrides(env)
    data = _merged(document.data if document else {}, overrides)
    if isinstance(data.get("targets"), str):
        data["targets"] = [{"url": url} for url in data["targets"].split()]
    data["targets"] = data.get("targets") or environment.targets(env)
    origins = Origins(document, overrides)
    problems = list(document.problems) if document else []
    problems += _missing_files(data, (), path.parent if path else Path(), origins)
    problems += _names_given_twice(data["targets"], origins)
    try:
        settings = Settings(**data)
    except ValidationError as error:
        problems += [origins.sentence(each["loc"], message(each)) for each in error.errors()]
    if problems:
        raise SettingsError(in_order(problems))
    return settings


def _document(path: Path | None, env: Mapping[str, str]) -> Document | None:
    if path is None:
        return None
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError([f"{path}: cannot be read: {why}"]) from error
    return Document(text, name=str(path), env=env)


def _overrides(env: Mapping[str, str]) -> dict[str, Any]:
    """What `HA_*` variables say, in the form of the document."""
    source = pydantic_settings.EnvSettingsSource(Settings)
    source.env_vars = {name.lower(): value for name, value in env.items() if value}
    try:
        return source()
    except pydantic_settings.SettingsError:
        raise SettingsError(
            ["environment: HA_FAILOVER: it must be JSON; or give single keys, such as HA_FAILOVER__MODE=observe"]
        ) from None


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both, where those above win; mappings are merged key by key."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _merged(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged


def _missing_files(data: Any, place: Place, folder: Path, origins: Origins) -> Iterator[str]:
    """
    Make relative `*_file` paths relative to the configuration file, wherever the process was started.

    Files that are not there are problems.
    """
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        here = (*place, key)
        if isinstance(key, str) and key.endswith("_file") and isinstance(value, str | Path) and str(value):
            data[key] = folder / value
            if not data[key].is_file():
                yield origins.sentence(here, f"there is no file {data[key]}: create it, or correct the path")
        else:
            yield from _missing_files(value, here, folder, origins)


def _names_given_twice(targets: Any, origins: Origins) -> Iterator[str]:
    """Each target is found by its name, whether that was given or is its host and port."""
    first: dict[str, str] = {}
    for index, target in enumerate(targets if isinstance(targets, list) else ()):
        place = ("targets", index)
        name = _name(target)
        if name in first:
            yield origins.sentence(
                place, f"another target is called '{name}' too ({first[name]}): give each a `name` of its own"
            )
        elif name:
            first[name] = origins.of(place)


def _name(target: Any) -> str | None:
    """The name of a target that may not have been validated, or None where it is not one."""
    if not isinstance(target, dict):
        return None
    if target.get("name"):
        return str(target["name"])
    try:
        return server_name("", target_url.parse(str(target.get("url"))))
    except ValueError:
        return None
