"""Waits until a program imports SQLAlchemy, and from then on instruments each engine when it is created."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from functools import wraps
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

_MODULE = "sqlalchemy.engine.base"
_log = logging.getLogger("observability.zero_code")


def install() -> None:
    """Instrument the engines of this process, those to come."""
    if _MODULE in sys.modules:
        _watch(sys.modules[_MODULE])
    else:
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds one module, as the others would, and looks at it when it is loaded."""

    def find_spec(self, name: str, _: Sequence[str] | None = None, __: ModuleType | None = None) -> ModuleSpec | None:
        """The specification of the module that defines engines, and of no other."""
        if name != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec and spec.loader:
            load = spec.loader.exec_module

            def load_and_watch(module: ModuleType) -> None:
                load(module)
                _watch(module)

            spec.loader.exec_module = load_and_watch  # type: ignore[method-assign]
        return spec


def _watch(module: ModuleType) -> None:
    """Let each engine be instrumented at the end of its construction."""
    create = module.Engine.__init__

    @wraps(create)
    def create_and_instrument(self: Any, *args: Any, **kwargs: Any) -> None:
        create(self, *args, **kwargs)
        _instrument(self)

    module.Engine.__init__ = create_and_instrument


def _instrument(engine: Any) -> None:
    try:
        from observability.instrumentation.pool.monitor import instrument
        from observability.instrumentation.workers.membership import join_if_worker

        join_if_worker(os.environ)
        instrument(engine)
    except Exception as error:  # noqa: BLE001 -- a border: the program must get its engine
        _log.warning("an engine is not instrumented: %s: %s", type(error).__name__, error)
