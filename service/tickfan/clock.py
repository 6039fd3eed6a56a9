"""The wall clock, in the unit of the protocol.

Whoever needs a time that only goes on asks the loop, or is handed a clock.
"""

from __future__ import annotations

import time


def now_ms() -> int:
    """The wall clock, in ms since 1970 UTC."""
    return time.time_ns() // 1_000_000
