"""How fast the past may be read: so that a storm of resumes does not slow the present.

Must not know what is replayed, nor to whom.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BURST_S = 0.05
"""How much of a second's bytes may go at once."""


class Pace:
    """Admits so many readers at a time, and gives them so many bytes a second together."""

    __slots__ = ("_burst", "_bytes", "_bytes_per_s", "_clock", "_then", "readers", "readers_max")

    def __init__(
        self, clock: Callable[[], float], readers_max: int = 100, bytes_per_s: int = 64 * 2**20
    ) -> None:
        """``clock`` in seconds, ``bytes_per_s`` over all readers."""
        self.readers_max = readers_max
        self.readers = 0
        self._clock = clock
        self._bytes_per_s = bytes_per_s
        self._burst = bytes_per_s * BURST_S
        self._bytes = self._burst
        self._then = clock()

    def admit(self) -> bool:
        """Take a place, if there is one; :meth:`leave` gives it back."""
        if self.readers >= self.readers_max:
            return False
        self.readers += 1
        return True

    def leave(self) -> None:
        """Give a place back."""
        self.readers -= 1

    def allowed(self) -> int:
        """Bytes that may be read now; 0 or less: wait."""
        now = self._clock()
        self._bytes = min(self._burst, self._bytes + (now - self._then) * self._bytes_per_s)
        self._then = now
        return int(self._bytes)

    def spend(self, size: int) -> None:
        """Note that so many bytes were read; one may go below zero, once."""
        self._bytes -= size
