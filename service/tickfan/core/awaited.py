"""Who waits until something has been read up to some number.

It costs nobody anything until then: whoever reads on compares one number. Must not know
what is read, nor who waits.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from itertools import count
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Wait = tuple[int, int, Callable[[], None]]

_numbers = count()


class Awaited:
    """Those who wait, by the ``seq`` that they wait for.

    ``lowest`` is the first such seq; infinite: nobody waits.
    """

    __slots__ = ("_waits", "lowest")

    def __init__(self) -> None:
        self.lowest: float = inf
        # By seq, and among equals as they came.
        self._waits: list[Wait] = []

    def __len__(self) -> int:
        return len(self._waits)

    def add(self, seq: int, tell: Callable[[], None]) -> Wait:
        """Call ``tell`` once, when ``seq`` has been reached or something else has happened."""
        wait = seq, next(_numbers), tell
        insort(self._waits, wait)
        self.lowest = self._waits[0][0]
        return wait

    def remove(self, wait: Wait) -> None:
        """Do not call any more. Idempotent."""
        waits = self._waits
        index = bisect_left(waits, wait)
        if index < len(waits) and waits[index] is wait:
            del waits[index]
            self.lowest = waits[0][0] if waits else inf

    def reach(self, seq: float = inf) -> None:
        """Call those who wait for ``seq`` or less; without it all."""
        waits = self._waits
        end = bisect_right(waits, (seq, inf))
        told = waits[:end]
        del waits[:end]
        self.lowest = waits[0][0] if waits else inf
        for _, _, tell in told:
            tell()
