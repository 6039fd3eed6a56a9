"""The sentence at the end of a reading."""

from __future__ import annotations

import time

from tickfan.commands.printing import clock
from tickfan.commands.summary import CHANNELS_COUNTED_MAX, Summary
from tickfan_client import Event, Update

OLD_MS = 1_704_205_800_123


def told(*items: Update | Event) -> str:
    summary = Summary()
    for item in items:
        summary.note(item)
    return summary.sentence()


def conflated(seq: int, channel: str = "quotes.A", ts: int = OLD_MS) -> Update:
    return Update(channel, seq, ts, 1)


def lossless(seq: int, prev: int | None, ts: int = OLD_MS) -> Update:
    return Update("trades.A", seq, ts, 1, prev)


def test_nothing_came() -> None:
    """Who gave up waiting sees that there was nothing."""
    assert told() == told(Event("subscribed", {}), Event("heartbeat", {})) == "no updates"


def test_updates_channels_and_their_time() -> None:
    """The time is that of the data, whatever the order; a day is said once."""
    day = time.strftime("%Y-%m-%d", time.localtime(OLD_MS // 1000))
    begin, end = (clock(ts).removeprefix(f"{day} ") for ts in (OLD_MS, OLD_MS + 5))
    assert told(conflated(1)) == f"1 update of 1 channel, {day} {begin}"
    assert (
        told(conflated(1, ts=OLD_MS + 5), conflated(1, "quotes.B"), conflated(2, ts=OLD_MS + 3))
        == f"3 updates of 2 channels, {day} {begin} to {end}"
    )
    later = OLD_MS + 86_400_000
    assert told(conflated(1), conflated(2, ts=later)).endswith(f" to {clock(later)}")


def test_today_has_no_date() -> None:
    """As on the lines."""
    summary = Summary()
    summary.note(conflated(1))
    hour = clock(OLD_MS, OLD_MS / 1000)
    assert summary.sentence(OLD_MS / 1000) == f"1 update of 1 channel, {hour}"


def test_gaps_and_resets_are_counted() -> None:
    """What a lossless reader should know; other events are not."""
    events = [Event("gap", {}), Event("gap", {}), Event("reset", {}), Event("status", {})]
    assert told(*events) == "no updates; 2 gaps; 1 reset"


def test_conflated_values_are_counted() -> None:
    """A conflated channel's seq says how many there were; an equal one may come twice."""
    found = told(conflated(4), conflated(5), conflated(5), conflated(9), conflated(9, "quotes.B"))
    assert found.endswith("; 3 older values conflated")
    assert "older value" not in told(conflated(4), conflated(5))


def test_a_lossless_seq_says_nothing_about_conflation() -> None:
    """It has holes of its own, and its chain has a prev."""
    assert "older value" not in told(
        lossless(1024, None), lossless(9216, 1024), lossless(10_240, 9216)
    )
    again = (lossless(0, None), Event("reset", {}), lossless(7168, None))
    assert "older value" not in told(*again)


def test_another_connection_counts_from_anew() -> None:
    """Another replica has numbers of its own."""
    found = told(conflated(4), Event("subscribed", {}), conflated(900), conflated(902))
    assert found.endswith("; 1 older value conflated")


def test_channels_are_counted_up_to_a_bound() -> None:
    """Names of endless channels do not fill the memory."""
    summary = Summary()
    for number in range(CHANNELS_COUNTED_MAX):
        summary.note(conflated(1, f"q.{number}"))
    assert f"of {CHANNELS_COUNTED_MAX:,} channels" in summary.sentence()
    summary.note(conflated(1, "q.one.more"))
    summary.note(conflated(7, "q.one.more"))
    assert f"of more than {CHANNELS_COUNTED_MAX:,} channels" in summary.sentence()
    assert "older value" not in summary.sentence()
