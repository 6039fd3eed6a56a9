"""Time and chance: they are read here, and handed to each part that needs them.

So all of a service can run on a time and a seed that somebody else sets. Must not know
which part asks, nor what for.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import random
from time import perf_counter, time_ns
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def now_ms() -> int:
    """The wall clock, in ms since 1970 UTC."""
    return time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Clock:
    """What the parts of a service ask for the time, and for chance.

    ``time`` is the event loop's, in seconds: it only goes on, and may stand still
    within a turn. ``wall_ms`` is the protocol's ``ts``, in ms since 1970 UTC.
    ``stopwatch`` goes on within a turn, in seconds. ``chance`` gives a number from
    0 to 1.
    """

    time: Callable[[], float]
    wall_ms: Callable[[], int] = now_ms
    stopwatch: Callable[[], float] = perf_counter
    chance: Callable[[], float] = random

    def spread(self, value: float, share: float) -> float:
        """A number at random around ``value``, at most ``share`` of it away."""
        return value * (1 + share * (2 * self.chance() - 1))
