"""tickfan.clock"""

from __future__ import annotations

import time

from tickfan.clock import now_ms


def test_it_is_the_wall_clock_in_milliseconds() -> None:
    """The unit of ``ts`` and ``server_time``; between two readings of the system's own."""
    before = time.time() * 1000
    now = now_ms()
    assert before - 1 <= now <= time.time() * 1000
    assert isinstance(now, int)
