"""service/key.py: what makes two subscribers due the same bytes."""

from __future__ import annotations

from tests.support.fanout import FEEDS
from tickfan.core.feed import Channel, Feed
from tickfan.core.pattern import Pattern
from tickfan.fanout.key import Key, Selector
from tickfan.wire.formats import Formats

quotes, trades, _ = (Feed(spec) for spec in FEEDS)
sse = Formats().sse(chunked=True)


def key(include: list[Selector], exclude: list[Selector], interval_ms: int | None = 100) -> Key:
    return Key(sse, interval_ms, frozenset(include), frozenset(exclude), None)


def test_a_selector_stays_within_its_feed() -> None:
    """The same pattern in another feed selects other channels."""
    everything = Selector(quotes, Pattern("#"))
    assert everything.matches(Channel("quotes.a", quotes))
    assert not everything.matches(Channel("trades.a", trades))


def test_what_is_excluded_is_not_due() -> None:
    """It comes at a shorter interval, by another audience of the same connection."""
    both = key([Selector(quotes, Pattern("quotes.#"))], [Selector(quotes, Pattern("quotes.a"))])
    assert not both.excludes(Channel("quotes.b", quotes))
    assert both.excludes(Channel("quotes.a", quotes))


def test_equal_wishes_are_equal_keys() -> None:
    """In whatever order they came; any difference in what is due is another key."""
    a, b = Selector(quotes, Pattern("quotes.a")), Selector(quotes, Pattern("quotes.b"))
    assert key([a, b], []) == key([b, a], [])
    assert len({key([a], []), key([b], []), key([a], [b]), key([a], [], 200)}) == 4


def test_the_feeds_of_a_key() -> None:
    """Those that it includes something of."""
    assert key([Selector(trades, Pattern("#")), Selector(quotes, Pattern("#"))], []).feeds == {
        trades, quotes,
    }  # fmt: skip
