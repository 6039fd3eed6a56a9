"""tickfan.clock"""

from __future__ import annotations

import time

import pytest

from tickfan.clock import Clock, now_ms


def test_it_is_the_wall_clock_in_milliseconds() -> None:
    """The unit of ``ts`` and ``server_time``; between two readings of the system's own."""
    before = time.time() * 1000
    now = now_ms()
    assert before - 1 <= now <= time.time() * 1000
    assert isinstance(now, int)


@pytest.mark.parametrize(("chance", "expected"), [(0.0, 75.0), (0.5, 100.0), (1.0, 125.0)])
def test_chance_spreads_around_a_value(chance: float, expected: float) -> None:
    """By at most the share, both ways."""
    clock = Clock(time.monotonic, chance=lambda: chance)
    assert clock.spread(100.0, 0.25) == expected
