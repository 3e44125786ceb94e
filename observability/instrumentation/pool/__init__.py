"""Connection pools of SQLAlchemy: what they hold, who waits for them, and what went wrong with their connections."""

from observability.instrumentation.pool.monitor import Holders, PoolMonitor, instrument

__all__ = ["Holders", "PoolMonitor", "instrument"]
