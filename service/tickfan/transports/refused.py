"""Says in the log whom the service turns away, at a bounded rate.

Anybody can come and be refused, as often as they like. Must not know why somebody is
refused, nor who counts it.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger("tickfan.connection")

WINDOW_S = 10.0
"""Seconds within which an address is named once for a reason."""

NAMED_MAX = 20
"""Addresses that are named within WINDOW_S for a reason; of others the number is told."""


class _Window:
    """What was refused for one reason, since some time."""

    __slots__ = ("ends", "more", "named")

    def __init__(self) -> None:
        self.ends = -inf
        self.named: set[str] = set()
        self.more = 0


class Refused:
    """Names the first that are refused for a reason, and counts the others."""

    def __init__(self, time: Callable[[], float]) -> None:
        """``time`` is monotonic, in s."""
        self._time = time
        self._windows: dict[str, _Window] = {}

    def tell(self, event: str, *, reason: str, remote: str, **fields: Any) -> None:
        """Log a refusal, or count it. What was counted is told with the next window's first.

        There are few reasons.
        """
        window = self._windows.setdefault(reason, _Window())
        now = self._time()
        if now >= window.ends:
            if window.more:
                log.info("more were turned away", reason=reason, refusals=window.more)
            window.ends = now + WINDOW_S
            window.named.clear()
            window.more = 0
        if remote in window.named or len(window.named) >= NAMED_MAX:
            window.more += 1
            return
        window.named.add(remote)
        log.info(event, reason=reason, remote=remote, **fields)
