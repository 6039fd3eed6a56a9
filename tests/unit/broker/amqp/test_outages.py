"""One line for each cause, again while it lasts, and one when it is over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from loadtest.rig.waiting import until
from tickfan.broker.amqp.outages import AGAIN_S, WHYS_MAX, Outages
from tickfan.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

FEEDS = ("quotes", "trades", "book")
START_MS = 1_795_731_391_523
REFUSED = "not connected: login refused"


class Play:
    """Outages on a time that the test sets, and what they have logged."""

    def __init__(self, logs: list[MutableMapping[str, Any]]) -> None:
        self.now = 100.0
        self.outages = Outages(
            FEEDS, Clock(lambda: self.now, lambda: START_MS + int(1000 * (self.now - 100)))
        )
        self._logs = logs

    def down(self, *feeds: str, cause: str = REFUSED, why: str = "a sentence") -> None:
        """These feeds are not read."""
        for feed in feeds:
            self.outages.down(feed, cause, why)

    def said(self, after_s: float = 1.0) -> list[MutableMapping[str, Any]]:
        """What is said after so long."""
        self.now += after_s
        del self._logs[:]
        self.outages.say()
        return self._logs[:]


@pytest.fixture
def play() -> Iterator[Play]:
    """Nothing is known yet."""
    with capture_logs() as logs:
        yield Play(logs)


def test_one_cause_is_one_line_that_names_the_feeds(play: Play) -> None:
    """With its sentence once, and since when."""
    play.down(*FEEDS)
    assert play.said() == [
        {
            "event": "feeds are not read", "log_level": "warning", "cause": REFUSED,
            "feeds": list(FEEDS), "since": "2026-11-26T22:16:31+00:00", "why": "a sentence",
        }
    ]  # fmt: skip
    assert play.said() == []


def test_it_is_said_again_each_minute_with_the_first_time(play: Play) -> None:
    """For who looks later. As often as tries fail, it is no more than that."""
    play.down(*FEEDS)
    [first] = play.said()
    again = []
    for second in range(200):
        play.down(*FEEDS, why=f"try {second}")
        again += play.said()
    assert len(again) == 200 // AGAIN_S
    assert {line["since"] for line in again} == {first["since"]}


def test_one_line_when_it_is_over(play: Play) -> None:
    """How long it took; who has been told the sentence is not told again."""
    play.down(*FEEDS)
    play.said()
    for feed in FEEDS:
        play.outages.up(feed)
    assert play.said(9.0) == [
        {
            "event": "feeds are read again", "log_level": "info", "cause": REFUSED,
            "feeds": list(FEEDS), "after_s": 10.0,
        }
    ]  # fmt: skip
    play.down(*FEEDS)
    assert len(play.said()) == 1, "a second outage is news"


def test_what_was_over_before_it_was_said_is_one_line(play: Play) -> None:
    """A short cut is not kept from the log: with its sentence, as a warning."""
    play.down(*FEEDS, cause="connection lost", why="reset by peer")
    for feed in FEEDS:
        play.outages.up(feed)
    [line] = play.said()
    assert (line["event"], line["log_level"]) == ("feeds are read again", "warning")
    assert (line["cause"], line["why"]) == ("connection lost", "reset by peer")


def test_the_first_time_that_feeds_are_read_is_one_line(play: Play) -> None:
    """Nothing was wrong before."""
    for feed in FEEDS:
        play.outages.up(feed)
        play.outages.up(feed)
    assert play.said() == [{"event": "feeds are read", "log_level": "info", "feeds": list(FEEDS)}]


def test_each_cause_has_its_own_line(play: Play) -> None:
    """And a feed that comes to have one that was said is told of with all that have it."""
    play.down("quotes")
    play.down("trades", cause="wrong exchange type")
    assert [(line["cause"], line["feeds"]) for line in play.said()] == [
        (REFUSED, ["quotes"]), ("wrong exchange type", ["trades"]),
    ]  # fmt: skip
    play.down("book")
    assert [(line["cause"], line["feeds"]) for line in play.said()] == [
        (REFUSED, ["quotes", "book"])
    ]


def test_an_outage_whose_cause_changes_is_one_outage(play: Play) -> None:
    """Lost, then refused: two lines, one time. To and fro says nothing new."""
    play.down(*FEEDS, cause="connection lost")
    [lost] = play.said()
    play.down(*FEEDS)
    [refused] = play.said()
    assert refused["since"] == lost["since"]
    for cause in ("connection lost", REFUSED) * 5:
        play.down(*FEEDS, cause=cause)
        assert play.said() == []


def test_a_feed_that_comes_and_goes_is_one_outage(play: Play) -> None:
    """Back for less than a look: it was never away from the log."""
    play.down("trades")
    [first] = play.said()
    play.outages.up("trades")
    play.down("trades")
    assert play.said() == []
    [again] = play.said(AGAIN_S)
    assert again["since"] == first["since"]


def test_different_sentences_stand_in_one_line_up_to_a_bound(play: Play) -> None:
    """Each may name a stream; there may be 64 feeds."""
    play.outages = Outages([str(number) for number in range(9)], Clock(lambda: play.now))
    for number in range(9):
        play.down(str(number), why=f"stream {number}")
    [line] = play.said()
    assert line["why"].endswith(f"stream {WHYS_MAX - 1}; and {9 - WHYS_MAX} more")


def test_what_is_wrong_with_feeds_that_are_read_is_said_once(play: Play) -> None:
    """One sentence for all whom it concerns: several feeds may be of one exchange."""
    for feed in FEEDS:
        play.outages.warn(feed, "exchange 'x' cannot be watched")
    play.outages.warn("book", "without its past")
    assert play.said() == [
        {
            "event": "feeds are read, and not all is well", "log_level": "warning",
            "feeds": feeds, "why": why,
        }
        for why, feeds in (("exchange 'x' cannot be watched", list(FEEDS)),
                           ("without its past", ["book"]))
    ]  # fmt: skip
    assert play.said(AGAIN_S) == []


def test_causes_by_feed(play: Play) -> None:
    """Not known yet, not read, read."""
    play.down("trades")
    play.outages.up("book")
    assert play.outages.causes() == {"quotes": None, "trades": REFUSED, "book": ""}


async def test_news_are_said_by_themselves() -> None:
    """Gathered for a moment; what is left at the end is not lost."""
    outages = Outages(FEEDS, Clock(asyncio.get_running_loop().time))
    with capture_logs() as logs:
        running = asyncio.create_task(outages.run())
        for feed in FEEDS:
            outages.down(feed, REFUSED, "a sentence")
            await asyncio.sleep(0)
        await until(lambda: bool(logs))
        outages.up("book")
        running.cancel()
        await asyncio.wait({running})
    assert [(line["event"], line["feeds"]) for line in logs] == [
        ("feeds are not read", list(FEEDS)), ("feeds are read again", ["book"]),
    ]  # fmt: skip
