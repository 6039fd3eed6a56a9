"""What the log says of a connection: the same fields in each line.

An operator finds the client by them. Must not know why something is said.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tickfan.session.membership import Connection

PATTERNS_TOLD = 3
"""So many of its patterns are named; ``channels`` is the number of all."""


def account(connection: Connection) -> dict[str, Any]:
    """Which connection it is, from where, and what it asked for first."""
    return {
        "connection": connection.id,
        "remote": connection.remote,
        "channels": len(connection.grants),
        "patterns": [str(pattern) for pattern in islice(connection.grants, PATTERNS_TOLD)],
    }
