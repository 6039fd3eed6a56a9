"""tickfan.fanout.audience: the shared flush, and who is taken off it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.fanout import FEEDS, WIRES, Fanout, skips_time
from tickfan.core import closing
from tickfan.core.feed import Channel, Feed
from tickfan.core.pattern import Pattern
from tickfan.fanout.audience import MEMBERS_MAX, Key, Part, Selector
from tickfan.wire.formats import Formats

if TYPE_CHECKING:
    from tests.support.fanout import Client


quotes, trades, _ = (Feed(spec) for spec in FEEDS)
sse = Formats().sse(chunked=True)


def key(include: list[Part], exclude: list[Part], interval_ms: int | None = 100) -> Key:
    return Key(sse, interval_ms, tuple(include), tuple(exclude), None)


def crowd(fanout: Fanout, wire: str, channel: str, count: int = 12) -> list[Client]:
    return [fanout.client(wire, "fast", channel) for _ in range(count)]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("channel", ["trades.a", "quotes.a"])
@skips_time
async def test_broken_and_stalled_members_harm_nobody(wire: str, channel: str) -> None:
    """In one flush some raise, some are full, and the rest get their bytes in this turn."""
    fanout = Fanout()
    clients = crowd(fanout, wire, channel)
    for client in clients[::3]:
        client.pipe.mode = "broken"
    for client in clients[1::3]:
        client.clog()
    await fanout.settle()
    sent = fanout.publish(channel)
    await fanout.settle(0.021)
    for index, client in enumerate(clients):
        assert client.seqs(channel) == ([sent] if index % 3 == 2 else [])
        assert client.reason is (None if index % 3 else closing.LOST)
    assert fanout.tally.parked == 4
    for client in clients[1::3]:
        client.pipe.become("fast")
    await fanout.settle()
    assert all(client.seqs(channel) == [sent] for client in clients[1::3])


@skips_time
async def test_siblings_share_a_key() -> None:
    """Above MEMBERS_MAX another audience begins; it ends when its last member leaves."""
    fanout = Fanout()
    clients = crowd(fanout, "sse", "trades.a", MEMBERS_MAX + 2)
    assert len(fanout.directory) == 2
    for client in clients[-2:]:
        client.leave()
    assert len(fanout.directory) == 1
    sent = fanout.publish("trades.a")
    await fanout.settle()
    assert all(client.seqs("trades.a") == [sent] for client in clients[:-2])
    assert not clients[-1].seqs("trades.a")


@skips_time
async def test_nobody_is_encoded_for() -> None:
    """What was pending when the last member left is dropped unencoded."""
    fanout = Fanout()
    client = fanout.client("json", "fast", "trades.a", "quotes.a")
    fanout.publish("trades.a")
    fanout.publish("quotes.a")
    client.leave()
    await fanout.settle()
    assert fanout.formats.encodings.total == 0


def test_a_selector_stays_within_its_feed() -> None:
    """The same pattern in another feed selects other channels."""
    everything = Selector(quotes, Pattern("#"))
    name = Selector(quotes, "quotes.a")
    for one in (everything, name):
        assert one.matches(Channel("quotes.a", quotes))
        assert not one.matches(Channel("quotes.a", trades))
    assert not name.matches(Channel("quotes.b", quotes))


def test_a_part_tells_names_from_wildcards() -> None:
    """A name is matched as it is, and a wildcard if it is one of those that match."""
    wild, other = Pattern("quotes.*"), Pattern("quotes.#")
    part = Part.of(quotes, ["quotes.a", wild])
    assert part == (quotes, frozenset(["quotes.a"]), frozenset([wild]))
    assert set(part.selectors()) == {Selector(quotes, "quotes.a"), Selector(quotes, wild)}
    assert part.matches(Channel("quotes.a", quotes), ())
    assert part.matches(Channel("quotes.b", quotes), (other, wild))
    assert not part.matches(Channel("quotes.b", quotes), (other,))
    assert not part.matches(Channel("quotes.a", trades), (wild,))


def test_equal_wishes_are_equal_keys() -> None:
    """In whatever order they came; any difference in what is due is another key."""
    a, b = Part.of(quotes, ["quotes.a"]), Part.of(quotes, ["quotes.b"])
    both = [
        Part.of(quotes, names) for names in (["quotes.a", "quotes.b"], ["quotes.b", "quotes.a"])
    ]
    assert key(both[:1], []) == key(both[1:], [])
    assert len({key([a], []), key([b], []), key([a], [b]), key([a], [], 200)}) == 4


def test_the_feeds_of_a_key() -> None:
    """Those that it includes something of."""
    parts = [Part.of(feed, [Pattern("#")]) for feed in (trades, quotes)]
    assert key(parts, []).feeds == {trades, quotes}
