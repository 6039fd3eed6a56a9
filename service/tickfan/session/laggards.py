"""Says in the log which clients do not keep up, while they are still connected.

A conflated client is never closed for being slow: without a line an operator would hear of
it only when it leaves. Must not know what is done about it.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import structlog

from tickfan.session.account import account

if TYPE_CHECKING:
    from tickfan.session.membership import Connection

log = structlog.get_logger("tickfan.connection")

BEHIND_S = 10.0
"""Seconds without a moment in which all that was written was taken, before it is told."""

NAMED_MAX = 20
"""Clients that are named within BEHIND_S; of others the number is told."""


class Laggards:
    """Looks at one connection after the other."""

    def __init__(self) -> None:
        self._window_ends = -inf
        self._named = 0
        self._more = 0

    def look(self, connection: Connection, now: float) -> None:
        """Note whether the client keeps up; ``now`` in s. A time of being behind is told once."""
        try:
            left = connection.subscriber.pipe.get_write_buffer_size()
        except OSError:
            return  # gone: its next write tells
        if not left:
            connection.behind_since = None
        elif connection.behind_since is None:
            connection.behind_since = now
        elif now - connection.behind_since >= BEHIND_S:
            self._tell(connection, now)
            connection.behind_since = inf

    def _tell(self, connection: Connection, now: float) -> None:
        assert connection.behind_since is not None
        if now >= self._window_ends:
            if self._more:
                log.info("more clients do not keep up", clients=self._more)
            self._window_ends = now + BEHIND_S
            self._named = self._more = 0
        if self._named >= NAMED_MAX:
            self._more += 1
            return
        self._named += 1
        subscriber = connection.subscriber
        updates, size = connection.waiting
        log.info(
            "a client does not keep up",
            transport=subscriber.format.name,
            behind_s=round(now - connection.behind_since, 1),
            waiting_updates=updates,
            waiting_bytes=size,
            conflated=subscriber.conflated,
            **account(connection),
        )
