"""Which feed covers a channel, for those who publish."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.updates import CHANNEL_NAMES, LAW
from tickfan.config import Settings
from tickfan.core.errors import Refusal
from tickfan.core.feed import Feed
from tickfan.core.spec import Delivery, FeedSpec
from tickfan.market.routes import Routes

SPECS = (
    FeedSpec("all", ("a.#", "b.*.c"), Delivery.LOSSLESS),
    FeedSpec("newest", ("b.x", "c"), Delivery.CONFLATED),
)


@pytest.fixture
def routes() -> Routes:
    return Routes(Settings().feed_specs())


@pytest.mark.parametrize("feed", ["quotes", "trades", "book", "tokens"])
def test_a_covered_channel_has_a_feed(routes: Routes, feed: str) -> None:
    """The shipped feeds cover the channels of their names; a # stands for no word, too."""
    assert routes.feed_of(f"{feed}.EUR/USD") == routes.feed_of(feed) == feed
    assert routes.is_lossless(feed) == (feed != "quotes")


def test_an_uncovered_channel_is_refused_with_the_patterns(routes: Routes) -> None:
    """The sentence says what would be covered, and the error names the channel."""
    with pytest.raises(Refusal, match=r"no feed covers 'weather.paris'.*quotes\.#") as caught:
        routes.feed_of("weather.paris")
    assert (caught.value.code, caught.value.item) == ("no_feed", "weather.paris")


@pytest.mark.parametrize(
    "name", ["quotes.", "quotes..X", "", "quotes.*", "quotes.\u20ac", "q" * 129]
)
def test_what_cannot_be_a_channel_is_refused(routes: Routes, name: str) -> None:
    """Also a pattern: one publishes to a channel."""
    with pytest.raises(Refusal) as caught:
        routes.feed_of(name)
    assert caught.value.code == "bad_channel"


@given(names=st.lists(CHANNEL_NAMES | st.from_regex(r"[abc](\.[xc]){0,2}", fullmatch=True)))
@LAW
def test_routes_and_feeds_agree(names: list[str]) -> None:
    """The publisher's way is the service's, the first time and from memory."""
    routes, feeds = Routes(SPECS), [Feed(spec) for spec in SPECS]
    for name in names * 2:
        covering = [feed.name for feed in feeds if feed.covers(name)]
        if covering:
            assert [routes.feed_of(name)] == covering
            continue
        with pytest.raises(Refusal) as caught:
            routes.feed_of(name)
        assert caught.value.code == "no_feed"


def test_memory_is_bounded() -> None:
    """Channels beyond the bound are looked up each time, and found all the same."""
    routes = Routes(SPECS, known_max=10)
    for number in list(range(50)) * 2:
        assert routes.feed_of(f"a.{number}") == "all"
    assert routes.known == 10
