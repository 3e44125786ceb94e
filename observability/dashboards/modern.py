"""Puts right what grafanalib writes: fields of older Grafana versions go, and so do nulls."""

from __future__ import annotations

from typing import Any

_LEGACY = {
    "board": ("__inputs", "gnetId", "hideControls", "rows", "sharedCrosshair", "style", "timepicker"),
    "panel": ("cacheTimeout", "editable", "error", "height", "hideTimeOverride", "minSpan", "span"),
    "target": ("intervalFactor", "step", "metric", "target", "query", "hide", "interval"),
    "variable": ("useTags", "tagsQuery", "tagValuesQuery", "auto", "auto_min", "auto_count"),
}


def modern(board: dict[str, Any]) -> dict[str, Any]:
    """The board without what no living Grafana reads."""
    board = _without("board", board)
    board["panels"] = [_panel(panel) for panel in board["panels"]]
    board["templating"]["list"] = [_variable(each) for each in board["templating"]["list"]]
    cleaned: dict[str, Any] = _known(board)
    return cleaned


def _panel(panel: dict[str, Any]) -> dict[str, Any]:
    panel = _without("panel", panel)
    if panel["type"] == "row":
        # A heading asks nothing; Grafana writes only these.
        kept = ("collapsed", "gridPos", "id", "panels", "title", "type")
        return {**{key: panel[key] for key in kept}, "panels": [_panel(inside) for inside in panel["panels"]]}
    panel["targets"] = [_without("target", target) for target in panel["targets"]]
    return panel


def _variable(variable: dict[str, Any]) -> dict[str, Any]:
    chosen = variable["current"]["value"]
    current: dict[str, Any] | None
    if variable["includeAll"]:
        current = {"selected": True, "text": "All", "value": "$__all"}
    else:
        current = {"selected": True, "text": chosen, "value": chosen} if chosen else None
    return {**_without("variable", variable), "current": current}


def _without(kind: str, values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in _LEGACY[kind]}


def _known(value: Any, *, inside: str = "") -> Any:
    """The value without nulls, save those of a threshold's first step, which mean minus infinity."""
    if isinstance(value, dict):
        return {
            key: _known(each, inside=key)
            for key, each in value.items()
            if each is not None or (inside == "steps" and key == "value")
        }
    if isinstance(value, list):
        return [_known(each, inside=inside) for each in value]
    return value
