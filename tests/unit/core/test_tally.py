"""The counts of one process."""

from __future__ import annotations

from collections import Counter

from service.core.tally import Tally


def test_everything_begins_at_nothing() -> None:
    """Each count is there, and is an integer or a counter by label."""
    tally = Tally()
    for name in Tally.__slots__:
        value = getattr(tally, name)
        assert value == 0 or (isinstance(value, Counter) and not value), name


def test_two_tallies_share_nothing() -> None:
    """Two services in one process count for themselves."""
    one, other = Tally(), Tally()
    one.gaps["trades"] += 1
    one.updates_out += 1
    assert (other.gaps["trades"], other.updates_out) == (0, 0)
