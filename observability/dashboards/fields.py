"""The parts of a panel that say how to read its values: thresholds, texts and colours, overrides, table columns."""

from __future__ import annotations

from typing import Any

from observability.dashboards.panel import Column, Panel, State

Json = dict[str, Any]


def steps(panel: Panel) -> list[Json]:
    """Grafana's thresholds: the base colour, then each limit. The base has no value, and this null must stay."""
    return [
        {"color": panel.base.value, "value": None},
        *({"color": each.colour, "value": each.value} for each in panel.limits),
    ]


def mappings(states: tuple[State, ...]) -> list[Json]:
    """Texts and colours for single values; `*` stands for all others."""
    single = {
        f"{state.value:g}" if isinstance(state.value, int | float) else state.value: _result(state, index)
        for index, state in enumerate(states)
        if state.value != "*"
    }
    found: list[Json] = [{"type": "value", "options": single}] if single else []
    found += [
        {"type": "regex", "options": {"pattern": ".+", "result": _result(state, index)}}
        for index, state in enumerate(states)
        if state.value == "*"
    ]
    return found


def overrides(columns: tuple[Column, ...]) -> list[Json]:
    """What holds for one column of a table only."""
    return [
        {"matcher": {"id": "byName", "options": column.heading}, "properties": _properties(column)}
        for column in columns
        if column.unit or column.states
    ]


def table_transformations(columns: tuple[Column, ...]) -> list[Json]:
    """One row for each server out of several queries, with the columns in their order and nothing else."""
    if not columns:
        return []
    names = [column.field for column in columns]
    return [
        {"id": "merge", "options": {}},
        {"id": "filterFieldsByName", "options": {"include": {"names": names}}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {},
                "indexByName": {field: index for index, field in enumerate(names)},
                "renameByName": {column.field: column.heading for column in columns},
            },
        },
    ]


def _result(state: State, index: int) -> Json:
    text = {"text": state.text} if state.text else {}
    return {**text, "color": state.colour.value, "index": index}


def _properties(column: Column) -> list[Json]:
    unit = [{"id": "unit", "value": column.unit}] if column.unit else []
    if not column.states:
        return unit
    return [
        *unit,
        {"id": "mappings", "value": mappings(column.states)},
        {"id": "custom.cellOptions", "value": {"type": "color-text"}},
    ]
