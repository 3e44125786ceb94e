"""Mistakes in a configuration as sentences: where it stands, what is wrong, and the way out."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from observability.settings.document import Document, Place
from observability.settings.models import FailoverSettings, RulesSettings, Settings, TargetSettings, TlsSettings

_MODELS: dict[str, type[BaseModel]] = {
    "targets": TargetSettings,
    "failover": FailoverSettings,
    "rules": RulesSettings,
    "tls": TlsSettings,
}
_WAYS_OUT = {
    "string_type": "it must be text: put it in quotes",
    "model_type": "it must be a mapping of keys and values",
    "model_attributes_type": "it must be a mapping of keys and values",
    "list_type": "it must be a list: begin each item with '- '",
    "path_type": "it must be the path of a file",
}


class Origins:
    """Where a value comes from: a line of the document, or a variable of the environment, which wins over it."""

    def __init__(self, document: Document | None, overrides: Mapping[str, Any]) -> None:
        self._document = document
        self._overrides = overrides

    def of(self, place: Place) -> str:
        """`file.yaml:7`, `environment: HA_LISTEN`, or `environment` where several variables together make the value."""
        variable = self._variable(place)
        if variable:
            return f"environment: {variable}"
        if self._document is None or (place and place[0] not in self._document.data):
            return "environment"
        return f"{self._document.name}:{self._document.line(place) or 1}"

    def sentence(self, place: Place, message: str) -> str:
        """The problem at `place`, with where it stands."""
        dotted = ".".join(str(part) for part in place)
        return f"{self.of(place)}: {dotted + ': ' if dotted else ''}{message}"

    def _variable(self, place: Place) -> str | None:
        node: Any = self._overrides
        names: list[str] = []
        for part in place:
            if not isinstance(node, Mapping) or part not in node:
                break
            names.append(str(part).upper())
            node = node[part]
        return None if not names or isinstance(node, Mapping) else f"HA_{'__'.join(names)}"


def message(error: Any) -> str:
    """What pydantic found, in words for whoever writes the configuration; the value itself may be secret and is left out."""
    kind, place = error["type"], error["loc"]
    if kind == "extra_forbidden":
        known = _known_keys(place[:-1])
        near = difflib.get_close_matches(str(place[-1]), known, n=1)
        way_out = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(sorted(known))}"
        return f"unknown key: {way_out}"
    if kind == "missing":
        return f"it is required: {_description(place)}"
    if kind in _WAYS_OUT:
        return _WAYS_OUT[kind]
    text = str(error["msg"]).removeprefix("Value error, ").replace("Input should be", "it must be", 1)
    return text[:1].lower() + text[1:]


def in_order(problems: list[str]) -> list[str]:
    """From top to bottom of the file; those of the environment come first."""
    return sorted(problems, key=lambda problem: int(found[1]) if (found := re.search(r":(\d+): ", problem)) else 0)


def _model(place: Place) -> type[BaseModel]:
    """The model that describes what stands at `place`."""
    names = [part for part in place if isinstance(part, str) and part in _MODELS]
    return _MODELS[names[-1]] if names else Settings


def _known_keys(place: Place) -> list[str]:
    return list(_model(place).model_fields)


def _description(place: Place) -> str:
    field = _model(place[:-1]).model_fields.get(str(place[-1]))
    return (field.description if field else None) or "see the documentation"
