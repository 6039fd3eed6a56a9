"""The counts of one process."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from tickfan.core.tally import AGES_S, DURATIONS_S, LAGS_S, Histogram, Tally


def test_everything_begins_at_nothing() -> None:
    """Each count is there, and is an integer, a counter by label or a histogram."""
    tally = Tally()
    for name in Tally.__slots__:
        value = getattr(tally, name)
        if isinstance(value, Histogram):
            assert not any(value.counts), name
        else:
            assert value == 0 or (isinstance(value, Counter | defaultdict) and not value), name


def test_two_tallies_share_nothing() -> None:
    """Two services in one process count for themselves."""
    one, other = Tally(), Tally()
    one.gaps["trades"] += 1
    one.updates_out += 1
    assert (other.gaps["trades"], other.updates_out) == (0, 0)


def test_a_histogram_counts_up_to_and_with_its_bounds() -> None:
    """As Prometheus's ``le``; what is above all of them has a place of its own."""
    histogram = Histogram((1.0, 2.0))
    for value in (0.0, 1.0, 1.5, 2.0, 2.1):
        histogram.observe(value)
    histogram.observe(9.0, 3)
    assert histogram.counts == [2, 2, 4]
    assert histogram.total == pytest.approx(6.6 + 27)


@pytest.mark.parametrize("bounds", [AGES_S, LAGS_S, DURATIONS_S])
def test_bounds_rise(bounds: tuple[float, ...]) -> None:
    """Looking a value up rests on it."""
    assert list(bounds) == sorted(set(bounds))
