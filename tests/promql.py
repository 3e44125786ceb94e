"""Reads PromQL for tests: which series an expression asks for, and inside which functions."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import promql_parser

VARIABLES = {"$__rate_interval": "1m", "$__range": "1h", "$__interval": "15s"}
"""Grafana's variables that stand where a duration must stand; those in strings need no value to be parsed."""


class Selector(NamedTuple):
    """One selector: the metric, its matchers by label as operator and value, and the functions around it."""

    name: str
    matchers: dict[str, tuple[str, str]]
    functions: tuple[str, ...]


def parse(expression: str) -> Any:
    """The syntax tree; raises ValueError for what Prometheus would refuse."""
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    return promql_parser.parse(expression)


def selectors(expression: str) -> list[Selector]:
    """Every selector of the expression."""
    found: list[Selector] = []
    around: list[str] = []

    def enter(node: Any) -> None:
        if isinstance(node, promql_parser.Call):
            around.append(node.func.name)
        if isinstance(node, promql_parser.VectorSelector):
            matchers = {each.name: (str(each.op), each.value) for each in node.matchers.matchers}
            found.append(Selector(node.name or "", matchers, tuple(around)))

    def leave(node: Any) -> None:
        if isinstance(node, promql_parser.Call):
            around.pop()

    promql_parser.walk(parse(expression), enter, leave)
    return found


def series(text: str) -> list[str]:
    """What looks like PromQL in a runbook: the quoted argument of `promtool query instant`."""
    return re.findall(r"promtool query instant \S+ '([^']*)'", text)
