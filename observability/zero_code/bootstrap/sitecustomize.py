"""
What every Python interpreter imports before anything else, where this directory is in PYTHONPATH.

Written so that any version of Python understands it: it may be found by programs that are none of our business.
"""

# ruff: noqa: ANN202, INP001 -- annotations that old versions do not understand; a directory to be searched, not a package

import os
import sys


def _leave_the_path():
    # type: () -> None
    """Let the program see the path that it would have without us; its children find us by the environment."""
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 -- older than pathlib
    sys.path[:] = [entry for entry in sys.path if not entry or os.path.abspath(entry) != here]  # noqa: PTH100


def _instrument():
    # type: () -> None
    try:
        from observability.zero_code import hook
    except Exception as error:  # noqa: BLE001 -- a border: whatever is wrong here, the program must run
        # Only the program itself says so: its children may be anything.
        if os.environ.get("HA_RUN_PID") == str(os.getpid()):
            sys.stderr.write(
                "ha-observability: this program runs without instrumentation, as %s cannot import it: %s\n"  # noqa: UP031
                % (sys.executable, error)
            )
    else:
        hook.install()


def _next_sitecustomize():
    # type: () -> None
    """Import the one that would have been found without us, if there is one."""
    mine = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # type: ignore[import-not-found]  # noqa: F401
    except ImportError as error:
        if getattr(error, "name", "sitecustomize") != "sitecustomize":
            raise
    finally:
        if mine is not None:
            sys.modules.setdefault("sitecustomize", mine)


_leave_the_path()
_instrument()
_next_sitecustomize()
