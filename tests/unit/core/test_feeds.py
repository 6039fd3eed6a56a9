"""tickfan.core.feeds: which feed covers what, and how they are doing."""

from __future__ import annotations

from tickfan.core.cursor import Place
from tickfan.core.feed import Upstream
from tickfan.core.feeds import Feeds
from tickfan.core.scope import ALL
from tickfan.core.spec import Delivery, FeedSpec


def feeds() -> Feeds:
    """A conflated one and a lossless one."""
    return Feeds(
        [
            FeedSpec("quotes", ("quotes.#", "fx.*"), Delivery.CONFLATED),
            FeedSpec("trades", ("trades.#",), Delivery.LOSSLESS),
        ]
    )


def test_a_name_has_one_feed_or_none() -> None:
    """Whether it has had an update or not; a channel is there only then."""
    both = feeds()
    channel = both["quotes"].add_channel("fx.EUR")
    assert both.covering("fx.EUR") is both["quotes"]
    assert both.covering("trades.A") is both["trades"]
    assert both.covering("weather.X") is None
    assert both.channel("fx.EUR") is channel
    assert both.channel("trades.A") is both.channel("weather.X") is None


def test_a_refusal_says_what_they_bind() -> None:
    """In their order."""
    refusal = feeds().no_feed("weather.X", ALL)
    assert (refusal.code, refusal.item) == ("no_feed", "weather.X")
    assert "quotes.#, fx.*, trades.#" in refusal.message


def test_they_start_until_each_has_been_live() -> None:
    """An outage after that is no start."""
    both = feeds()
    seen = [both.is_starting]
    for feed in both.values():
        feed.upstream = Upstream.LIVE
        seen.append(both.is_starting)
    both["trades"].upstream = Upstream.STALE
    assert [*seen, both.is_starting] == [True, True, False, False]


def test_only_a_lossless_feed_can_be_behind_a_cursor() -> None:
    """A place of another feed, or of none, is nothing to wait for."""
    both = feeds()
    places = {name: Place(5, "A" * 11) for name in ("quotes", "trades", "gone")}
    assert both.behind(places) == [both["trades"]]
