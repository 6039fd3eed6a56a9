"""service/pace.py: so many readers at a time, so many bytes a second together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.updates import LAW
from tickfan.fanout.pace import BURST_S, Pace

SLACK = 1e-3
"""For floats: bytes, where the numbers are millions."""


class Clock:
    """A clock that a test sets, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


RATES = st.integers(65_536, 2**34)
WAITS_S = st.sampled_from([0.0, 0.0, 0.001, 0.01, 0.3, 60.0]) | st.floats(0, 2)
SIZES = st.integers(1, 2**20)


@given(readers_max=st.integers(1, 5), calls=st.lists(st.booleans(), max_size=60))
@LAW
def test_never_more_readers_than_the_maximum(readers_max: int, calls: list[bool]) -> None:
    """A place is given if and only if one is free; giving one back frees exactly one."""
    pace, inside = Pace(Clock(), readers_max=readers_max), 0
    for wants_in in calls:
        if wants_in:
            is_admitted = pace.admit()
            assert is_admitted == (inside < readers_max)
            inside += is_admitted
        elif inside:
            pace.leave()
            inside -= 1
        assert pace.readers == inside <= readers_max


@given(rate=RATES, turns=st.lists(st.tuples(WAITS_S, SIZES, SIZES), max_size=60))
@LAW
def test_bytes_never_exceed_burst_and_rate_by_more_than_one_spend(
    rate: int, turns: list[tuple[float, int, int]]
) -> None:
    """Over any run, from any moment of it: burst + rate x time, and the last read.

    A reader asks, reads up to what is allowed, and ends behind an update that
    may be longer.
    """
    clock = Clock()
    pace = Pace(clock, bytes_per_s=rate)
    spent: list[tuple[float, int]] = []
    for wait_s, want, overshoot in turns:
        clock.now += wait_s
        allowed = pace.allowed()
        assert allowed <= rate * BURST_S
        if allowed <= 0:
            continue
        size = want if want <= allowed else allowed + overshoot
        pace.spend(size)
        spent.append((clock.now, size))
    for first, (begin, _) in enumerate(spent):
        total = 0
        for at, size in spent[first:]:
            total += size
            assert total - size <= rate * (BURST_S + at - begin) + SLACK


@given(rate=RATES, size=SIZES)
@LAW
def test_a_debt_is_paid_in_the_time_that_its_bytes_take(rate: int, size: int) -> None:
    """One large read keeps everybody waiting just as long as it was too large."""
    clock = Clock()
    pace = Pace(clock, bytes_per_s=rate)
    burst = pace.allowed()
    pace.spend(burst + size)
    assert pace.allowed() <= 0
    clock.now += size / rate * 0.99
    assert pace.allowed() <= 0
    clock.now += size / rate * 0.01 + 3 / rate  # whole bytes are given
    assert pace.allowed() > 0


def test_idle_time_is_not_saved_up() -> None:
    """After a quiet hour no more goes at once than after a tenth of a second."""
    clock = Clock()
    pace = Pace(clock, bytes_per_s=1_000_000)
    clock.now += 3600
    assert pace.allowed() == 1_000_000 * BURST_S


@pytest.mark.parametrize("asks", [1, 1000])
def test_asking_costs_nothing(asks: int) -> None:
    """However often it is asked, what comes in a second is a second's bytes."""
    clock = Clock()
    pace = Pace(clock, bytes_per_s=1_000_000)
    pace.spend(pace.allowed() + 2_000_000)
    for _ in range(asks):
        clock.now += 2 / asks
        pace.allowed()
    assert abs(pace.allowed()) <= 1
