"""
The template of the route that a request took, `/users/{id}`: never the path itself, of which there is no end.

Starlette and FastAPI say in the scope which endpoint was chosen, but not under which prefixes; so the routes of the
outermost router are walked once, and each endpoint is known by its whole template from then on. Litestar says the template.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple, TypeAlias

from observability.instrumentation.asgi import Scope
from observability.instrumentation.requests.metrics import OTHER

Resolver: TypeAlias = Callable[[Scope], str | None]

_MOST_ENDPOINTS: Final = 10_000
_DEEPEST: Final = 20


def whither(scope: Scope) -> object:
    """What a framework says about where a request went; None if it says nothing."""
    endpoint = scope.get("endpoint")
    return scope.get("path_template") if endpoint is None else endpoint


class _Way(NamedTuple):
    """A way to an endpoint: the template of all of it, and the pattern of each of its parts."""

    template: str
    patterns: tuple[re.Pattern[str], ...]


class _Endpoint(NamedTuple):
    """An endpoint, kept so that its identity is not given to another object, and the ways to it."""

    endpoint: object
    ways: tuple[_Way, ...]


class Routes:
    """Finds templates, and at most `limit` of them: those beyond are called `_OTHER`."""

    def __init__(self, resolver: Resolver | None, limit: int) -> None:
        self._resolver = resolver
        self._limit = limit
        self._templates: set[str] = set()
        self._endpoints: dict[int, _Endpoint] = {}

    def find(self, scope: Scope) -> tuple[str, bool]:
        """The template, empty if there is none, and whether what `whither` gives will always have the same."""
        endpoint = scope.get("endpoint")
        if endpoint is None:
            template = scope.get("path_template") or ""
            certain = bool(template)
        else:
            template, certain = self._of_endpoint(endpoint, scope)
        template = template or _path_of(scope.get("route"))
        if not template and self._resolver:
            template, certain = self._resolver(scope) or "", False
        elif not template:
            certain = endpoint is None
        return self._bounded(_root(scope) + template) if template else "", certain

    def _of_endpoint(self, endpoint: object, scope: Scope) -> tuple[str, bool]:
        known = self._endpoints.get(id(endpoint))
        if known is None:
            self._walk(scope)
            known = self._endpoints.get(id(endpoint))
        if known is None:
            known = _Endpoint(endpoint, ())
            if len(self._endpoints) < _MOST_ENDPOINTS:
                self._endpoints[id(endpoint)] = known
        if len(known.ways) == 1:
            return known.ways[0].template, True
        path = scope.get("path", "").removeprefix(_root(scope))
        return next((way.template for way in known.ways if _leads(way.patterns, path)), ""), False

    def _walk(self, scope: Scope) -> None:
        """Learn every endpoint of the outermost router."""
        found: dict[int, tuple[object, list[_Way]]] = {}
        for endpoint, way in _ways(getattr(scope.get("router"), "routes", ()), "", ()):
            _, ways = found.setdefault(id(endpoint), (endpoint, []))
            if way.template not in {each.template for each in ways}:
                ways.append(way)
        if len(self._endpoints) + len(found) < _MOST_ENDPOINTS:
            self._endpoints.update((key, _Endpoint(endpoint, tuple(ways))) for key, (endpoint, ways) in found.items())

    def _bounded(self, template: str) -> str:
        if template in self._templates:
            return template
        if len(self._templates) >= self._limit:
            return OTHER
        self._templates.add(template)
        return template


def _ways(
    routes: Iterable[Any], prefix: str, patterns: tuple[re.Pattern[str], ...], depth: int = 0
) -> Iterator[tuple[object, _Way]]:
    """Every endpoint below `routes` with a way to it; routers, mounts and hosts are only parts of the way."""
    if depth > _DEEPEST:
        return
    for route in _unfolded(routes):
        pattern = getattr(route, "path_regex", None)
        here = (*patterns, pattern) if isinstance(pattern, re.Pattern) else patterns
        template = prefix + _path_of(route)
        inner = getattr(route, "routes", None)
        endpoint = getattr(route, "endpoint", None)
        if endpoint is not None:
            yield endpoint, _Way(template, here)
        elif inner is not None:
            app = getattr(route, "app", None)
            yield app, _Way(template, here)
            yield from _ways(inner or _routes_within(app), template.removesuffix("/{path}"), here, depth + 1)


def _unfolded(routes: Iterable[Any]) -> Iterator[Any]:
    """Newer versions of FastAPI keep an included router as one route, which tells its own."""
    for route in routes:
        contexts = getattr(route, "effective_route_contexts", None)
        if callable(contexts):
            yield from (getattr(each, "starlette_route", None) or each for each in contexts())
        else:
            yield route


def _routes_within(app: Any) -> Iterable[Any]:
    """The routes of an application below its middlewares."""
    for _ in range(_DEEPEST):
        if app is None:
            return ()
        routes = getattr(app, "routes", None)
        if routes:
            return tuple(routes)
        app = getattr(app, "app", None)
    return ()


def _path_of(route: Any) -> str:
    """The template that a route has, with its parameters as `{name}`."""
    if isinstance(route, str):
        return route
    path = getattr(route, "path_format", None) or getattr(route, "path", None)
    return path if isinstance(path, str) else ""


def _root(scope: Scope) -> str:
    """The path at which the whole application stands; mounts have added theirs to `root_path`."""
    root: str = scope.get("app_root_path", scope.get("root_path", ""))
    return root.rstrip("/")


def _leads(patterns: tuple[re.Pattern[str], ...], path: str) -> bool:
    """Whether a way leads to a path: each part takes its piece of it."""
    for pattern in patterns:
        match = pattern.match(path)
        if match is None:
            return False
        if "path" in pattern.groupindex:
            path = "/" + match["path"]
    return True
