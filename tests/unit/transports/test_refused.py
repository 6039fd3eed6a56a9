"""tickfan.transports.refused: a flood of refusals does not fill the log."""

from __future__ import annotations

from structlog.testing import capture_logs

from tickfan.transports.refused import NAMED_MAX, WINDOW_S, Refused


def test_each_address_is_named_once_and_not_too_many_are() -> None:
    """The others are counted, and told when the next window begins."""
    now = 100.0
    refused = Refused(lambda: now)
    with capture_logs() as logs:
        for number in range(NAMED_MAX + 5):
            for _ in range(2):
                refused.tell("socket refused", reason="overload", remote=str(number), most=9)
        now += WINDOW_S
        refused.tell("socket refused", reason="overload", remote="0")
    named = [line["remote"] for line in logs[:NAMED_MAX]]
    assert named == list(map(str, range(NAMED_MAX)))
    assert logs[0]["most"] == 9
    more, again = logs[NAMED_MAX:]
    assert more["event"] == "more were turned away"
    assert (more["reason"], more["refusals"]) == ("overload", NAMED_MAX + 2 * 5)
    assert again["remote"] == "0"


def test_a_flood_for_one_reason_hides_no_other() -> None:
    """Each reason has lines of its own."""
    refused = Refused(lambda: 0.0)
    with capture_logs() as logs:
        for number in range(10 * NAMED_MAX):
            refused.tell("socket refused", reason="overload", remote=str(number))
        refused.tell("turned away", reason="throttled", remote="0", transport="sse")
    assert len(logs) == NAMED_MAX + 1
    assert (logs[-1]["event"], logs[-1]["transport"]) == ("turned away", "sse")
