"""From what clients and applications say to label values, of which there is a bounded number."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from observability.instrumentation.asgi import Scope
from observability.instrumentation.own_errors import OwnErrors
from observability.instrumentation.requests import metrics
from observability.instrumentation.requests.routes import Resolver, Routes

_MOST_ERRORS: Final = 100
_FIRST_STATUS, _LAST_STATUS, _FIRST_ERROR = 100, 599, 500
_FIRST_CLOSE_CODE, _LAST_CLOSE_CODE = 1000, 1015
_ORDINARY_CLOSES: Final = frozenset({1000, 1001, 1005})
_ABNORMAL_CLOSE: Final = 1006


class Vocabulary:
    """The words for one application."""

    def __init__(
        self, resolver: Resolver | None, most_routes: int, methods: Iterable[str] | None, errors: OwnErrors
    ) -> None:
        self._own_errors = errors
        self._routes = Routes(resolver, most_routes)
        self._methods = metrics.METHODS if methods is None else frozenset(methods)
        self._errors: set[str] = set()

    def method(self, scope: Scope) -> str:
        """`http.request.method`."""
        method: str = scope["method"]
        return method if method in self._methods else metrics.OTHER

    def scheme(self, scope: Scope) -> str:
        """`url.scheme`, empty where it is none that a server could have."""
        scheme: str = scope.get("scheme", "http")
        return scheme if scheme in metrics.SCHEMES else ""

    def route(self, scope: Scope) -> tuple[str, bool]:
        """`http.route`, and whether what `whither` gives will always have the same."""
        try:
            return self._routes.find(scope)
        except Exception as error:  # noqa: BLE001 -- a border: frameworks change, and a resolver is another's code
            self._own_errors.note(error)
            return "", False

    def error(self, error: BaseException) -> str:
        """`error.type` of an exception: its class with its module, unless that is builtins."""
        kind = type(error)
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        if name not in self._errors:
            # Classes can be made while the program runs.
            if len(self._errors) >= _MOST_ERRORS:
                return metrics.OTHER
            self._errors.add(name)
        return name


def status_name(status: int) -> str:
    """`http.response.status_code`, empty where no answer began."""
    return str(int(status)) if _FIRST_STATUS <= status <= _LAST_STATUS else ""


def status_error(status: int) -> str:
    """`error.type` of a complete answer: the status of an error of the server, else empty."""
    return status_name(status) if status >= _FIRST_ERROR else ""


def close_error(code: int) -> str:
    """`error.type` of a WebSocket connection that was closed with a code, empty where that is ordinary."""
    if code in _ORDINARY_CLOSES:
        return ""
    if code == _ABNORMAL_CLOSE:
        return metrics.CLIENT_DISCONNECTED
    return str(code) if _FIRST_CLOSE_CODE <= code <= _LAST_CLOSE_CODE else metrics.OTHER
