"""What is known and counted about one place in a pool, by whoever holds its connection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from observability.instrumentation.pool.metrics import USE_BUCKETS, WAIT_BUCKETS

if TYPE_CHECKING:
    from sqlalchemy.pool import ConnectionPoolEntry

    from observability.instrumentation.pool.ledger import Ledger

Node: TypeAlias = tuple[str, str, str]
"""Role, address and port of the server that a connection leads to."""

UNKNOWN_NODE: Node = ("unknown", "", "")
FOREVER = float("inf")


def nobody() -> None:
    """What a reference to what is gone gives."""


def somebody() -> None:
    """What a reference to whoever had the connection before anybody looked gives."""


@dataclass(slots=True, eq=False)
class Slot:
    """
    What is known and counted about one connection record: its holder is the only writer.

    A slot outlives its record and is handed on to the next one, so that its sums never go backwards.
    """

    owner: Ledger
    quick: int = 0
    """Waits that were not longer than the first bound; the longer ones are in `waits`."""
    waits: list[int] = field(default_factory=lambda: [0] * (len(WAIT_BUCKETS) + 1))
    waited: float = 0.0
    uses: list[int] = field(default_factory=lambda: [0] * (len(USE_BUCKETS) + 1))
    used: float = 0.0
    collected: int = 0

    record: Callable[[], ConnectionPoolEntry | None] = nobody
    """Weak: the record that has this slot now. What follows is about it, what precedes is not."""
    open: bool = False
    """Whether a connection was opened that has not been closed."""
    invalidated: bool = False
    """Whether the connection was declared unusable and is going to be closed for that."""
    taken: float = 0.0
    """When the connection was handed out, by the monotonic clock; 0 while it is not."""
    adopted: float = 0.0
    """When the connection was found to be out already, 0 if it was not."""
    proxy: Callable[[], object] = nobody
    """Weak: what was handed out last; `nobody` while a new connection has not been handed out yet."""
    users: list[tuple[Callable[[], Any], float]] = field(default_factory=list)
    """Only where several hold one connection at a time: what each was handed (weak), and when."""
    place: tuple[str, ...] = ()
    node: Node = UNKNOWN_NODE
    look_at: float = FOREVER
    """When to look again at the role of the server."""

    def clear(self) -> None:
        """Forget the record, but not what was counted."""
        self.record = self.proxy = nobody
        self.open = self.invalidated = False
        self.taken = self.adopted = 0.0
        self.users, self.place = [], ()
        self.node, self.look_at = UNKNOWN_NODE, FOREVER

    def is_stillborn(self) -> bool:
        """Whether a new connection was closed without a word, as setting it up had failed."""
        if not self.open or self.proxy is not nobody:
            return False
        record = self.record()
        return record is not None and record.dbapi_connection is None

    def users_now(self) -> list[tuple[Callable[[], Any], float]]:
        """Those of the users who have not given the connection back."""
        return [user for user in self.users if holds(user[0])]


def holds(proxy: Callable[[], object]) -> bool:
    """Whether what was handed out is still there and has not been given back."""
    return getattr(proxy(), "dbapi_connection", None) is not None
