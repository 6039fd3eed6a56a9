"""tickfan.api.throttledmetrics: what a scrape says of clients that use more than they may."""

from __future__ import annotations

from tickfan.api.throttledmetrics import of_throttled
from tickfan.core.tally import Tally
from tickfan.transports.budget import COMMANDS, REASONS


def test_each_reason_is_there_from_0_on() -> None:
    """A counter that begins with 1 has no increase that a rate could see."""
    tally = Tally()
    tally.throttled[COMMANDS] += 2
    tally.throttled_s[COMMANDS] += 1.5
    times, seconds = of_throttled(tally)
    assert {one.labels["reason"]: one.value for one in times.samples} == {
        **dict.fromkeys(REASONS, 0), COMMANDS: 2,
    }  # fmt: skip
    assert {one.labels["reason"]: one.value for one in seconds.samples} == {
        **dict.fromkeys(REASONS, 0), COMMANDS: 1.5,
    }  # fmt: skip
