"""A YAML document that remembers on which line each value stands, with `${VAR}` filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

import yaml

from observability.errors import SettingsError

Place: TypeAlias = tuple[str | int, ...]

_MOST_VALUES = 100_000
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


class Document:
    """
    The parsed document: `data`, and `line(place)` for any place in it.

    `problems` names every key that is given twice and every variable that is not set.

    Raises:
        SettingsError: when the text is not YAML, not a mapping, or without end.

    """

    def __init__(self, text: str, *, name: str, env: Mapping[str, str]) -> None:
        self.name = name
        self._env = env
        self._lines: dict[Place, int] = {}
        self._loader: Any = yaml.SafeLoader("")
        self.problems: list[str] = []
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            if node is not None and not isinstance(node, yaml.MappingNode):
                raise SettingsError([f"{name}:1: the document must be a mapping such as 'targets: [...]'"])
            self.data: dict[str, Any] = self._value(node, ()) if node is not None else {}
        except yaml.YAMLError as error:
            raise SettingsError([_yaml_problem(name, error)]) from error
        except RecursionError:
            raise SettingsError([f"{name}: it is nested too deeply, or an alias in it leads back to itself"]) from None

    def line(self, place: Place) -> int | None:
        """The line of the value at `place`, or of the nearest thing around it."""
        while place and place not in self._lines:
            place = place[:-1]
        return self._lines.get(place)

    def _value(self, node: yaml.Node, place: Place) -> Any:
        self._lines[place] = node.start_mark.line + 1
        if len(self._lines) > _MOST_VALUES:
            raise SettingsError([f"{self.name}: it has more than {_MOST_VALUES} values; do aliases in it multiply?"])
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*place, index)) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(f"{self.name}:{line}: a key must be a word, not a list or a mapping")
                continue
            key = str(key_node.value)
            if key in found:
                first = self._lines[*place, key]
                self.problems.append(
                    f"{self.name}:{line}: key '{key}' is given twice (first on line {first}): keep one"
                )
                continue
            found[key] = self._value(value_node, (*place, key))
            self._lines[*place, key] = line
        return found

    def _scalar(self, node: yaml.Node) -> Any:
        text = str(node.value)
        if not _VARIABLE.search(text):
            return self._construct(node)
        return _VARIABLE.sub(lambda match: self._variable(match, node.start_mark.line + 1), text)

    def _construct(self, node: yaml.Node) -> Any:
        """A scalar as YAML types it: number, boolean, null or text."""
        try:
            return self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError, ArithmeticError, AttributeError, LookupError, TypeError):
            kind = str(node.tag).rpartition(":")[2]
            self.problems.append(
                f"{self.name}:{node.start_mark.line + 1}: YAML cannot read this as {kind}: put it in quotes"
            )
            return str(node.value)

    def _variable(self, match: re.Match[str], line: int) -> str:
        name: str = match[1]
        default: str | None = match[2]
        value = self._env.get(name, default)
        if value is None:
            self.problems.append(
                f"{self.name}:{line}: environment variable {name} is not set: set it, or write ${{{name}:-default}}"
            )
            return ""
        return value


def _yaml_problem(name: str, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or "it cannot be read"
    return f"{name}:{mark.line + 1}: this is not YAML: {what}" if mark else f"{name}: this is not YAML: {what}"
