"""The configuration: YAML, environment or both; all mistakes at once, each with its line and the way out."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from observability.errors import SettingsError
from observability.settings import environment
from observability.settings.document import Document, Place
from observability.settings.models import (
    FailoverSettings,
    RulesSettings,
    Settings,
    TargetSettings,
    TlsSettings,
    host_and_port,
)

__all__ = ["FailoverSettings", "Settings", "TargetSettings", "host_and_port", "load"]

_MODELS: dict[str, type[BaseModel]] = {
    "targets": TargetSettings,
    "failover": FailoverSettings,
    "rules": RulesSettings,
    "tls": TlsSettings,
}


def load(path: Path | None, env: Mapping[str, str]) -> Settings:
    """
    The settings of the file at `path` and of the environment; without a file, of the environment alone.

    Raises:
        SettingsError: with all mistakes, each with its place and the way out.

    """
    document = _document(path, env)
    data: dict[str, Any] = dict(document.data) if document else {}
    if not data.get("targets") and not env.get("HA_TARGETS"):
        data["targets"] = environment.targets(env)
    _resolve_files(data, path.parent if path else Path())
    problems = list(document.problems) if document else []
    settings = None
    try:
        settings = Settings(**data)
    except ValidationError as error:
        problems += [_problem(each, document) for each in error.errors()]
    if settings is None or problems:
        raise SettingsError(sorted(problems, key=_line_of))
    missing = [f"{where}: file {file} does not exist" for where, file in _files(settings) if not file.is_file()]
    if missing:
        raise SettingsError(missing)
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


def _resolve_files(data: Any, folder: Path) -> None:
    """Relative `*_file` paths are relative to the configuration file, wherever the process was started."""
    if isinstance(data, list):
        for item in data:
            _resolve_files(item, folder)
    elif isinstance(data, dict):
        for key, value in data.items():
            if key.endswith("_file") and isinstance(value, str) and value:
                data[key] = folder / value
            else:
                _resolve_files(value, folder)


def _files(settings: Settings) -> list[tuple[str, Path]]:
    found = []
    for target in settings.targets:
        where = f"target {target.name or target.url.rpartition('@')[2]}"
        for key, value in ({"password_file": target.password_file} | target.tls.model_dump()).items():
            if key.endswith("_file") and value is not None:
                found.append((f"{where}: {key}", value))
    if settings.failover.token_file is not None:
        found.append(("failover: token_file", settings.failover.token_file))
    return found


def _problem(error: Any, document: Document | None) -> str:
    place: Place = error["loc"]
    line = document.line(place) if document else None
    origin = f"{document.name}:{line}" if document and line else "environment"
    dotted = ".".join(str(part) for part in place)
    return f"{origin}: {dotted + ': ' if dotted else ''}{_message(error)}"


def _message(error: Any) -> str:
    kind, place = error["type"], error["loc"]
    if kind == "extra_forbidden":
        known = _known_keys(place[:-1])
        near = difflib.get_close_matches(str(place[-1]), known, n=1)
        way_out = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(sorted(known))}"
        return f"unknown key: {way_out}"
    if kind == "missing":
        return f"it is required: {_description(place)}"
    message = str(error["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _line_of(problem: str) -> int:
    """Problems are read from top to bottom; those without a line come first."""
    parts = problem.split(":", 2)
    return int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0


def _model(place: Place) -> type[BaseModel]:
    """The model that describes what stands at `place`."""
    names = [part for part in place if isinstance(part, str) and part in _MODELS]
    return _MODELS[names[-1]] if names else Settings


def _known_keys(place: Place) -> list[str]:
    return list(_model(place).model_fields)


def _description(place: Place) -> str:
    field = _model(place[:-1]).model_fields.get(str(place[-1]))
    return (field.description if field else None) or "see the documentation"
