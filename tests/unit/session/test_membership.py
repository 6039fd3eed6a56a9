"""tickfan.session.membership: changing subscriptions, and going on where one was."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.fanout import WIRES, Fanout, skips_time
from tickfan.core import closing
from tickfan.core.cursor import parse
from tickfan.core.spec import Delivery, FeedSpec


@pytest.mark.parametrize("wire", WIRES)
@skips_time
async def test_a_feed_that_the_cursor_does_not_name_loses_nothing(wire: str) -> None:
    """While one feed is replayed, updates of a feed that starts afresh come too."""
    fanout = Fanout()
    early = fanout.client("sse", "fast", "trades.#")
    missed = [fanout.publish("trades.a", "x" * 9_000) for _ in range(30)]
    await fanout.settle()
    cursor = early.named("snapshot_end")[0]["cursor"]
    client = fanout.client(wire, "stalled")
    client.subscribe("trades.#", "book.#", cursor=cursor)
    await fanout.settle()
    assert client.is_replaying, "there must be something left to replay"
    new = [fanout.publish("book.x") for _ in range(5)]
    await fanout.settle()
    client.pipe.become("fast")
    await fanout.settle()
    assert client.seqs("trades.a") == missed
    assert client.seqs("book.x") == new


@skips_time
async def test_a_feed_added_during_a_replay_loses_nothing() -> None:
    """Nor does one that was there already."""
    fanout = Fanout()
    early = fanout.client("sse", "fast", "trades.#")
    missed = [fanout.publish("trades.a", "x" * 9_000) for _ in range(30)]
    fanout.publish("book.x", "before")
    await fanout.settle()
    client = fanout.client("msgpack", "stalled")
    client.subscribe("trades.#", cursor=early.named("snapshot_end")[0]["cursor"])
    await fanout.settle()
    client.subscribe("book.#")
    assert client.is_replaying
    new = fanout.publish("book.x", "after")
    missed.append(fanout.publish("trades.a"))
    await fanout.settle()
    client.pipe.become("fast")
    await fanout.settle()
    assert client.seqs("book.x") == [new]
    assert client.seqs("trades.a") == missed


@skips_time
async def test_a_slow_client_may_unsubscribe_from_its_longest_queue() -> None:
    """What waits of a channel that it gives up does not count against what is left."""
    fanout = Fanout([
        FeedSpec("trades", ("trades.#",), Delivery.LOSSLESS, queue_updates_max=1_000),
        FeedSpec("book", ("book.#",), Delivery.LOSSLESS, queue_updates_max=10),
    ])  # fmt: skip
    client = fanout.client("json", "fast", "trades.#", "book.#")
    client.clog()
    for _ in range(100):
        fanout.publish("trades.a")
    kept = fanout.publish("book.x")
    await fanout.settle()
    client.unsubscribe("trades.#")
    assert client.reason is None
    client.pipe.become("fast")
    await fanout.settle()
    assert client.seqs("book.x") == [kept]
    assert client.seqs("trades.a") == []
    assert "trades" not in (client.connection.subscriber.cursor or "")


@skips_time
async def test_a_channel_of_several_subscriptions_comes_once_at_the_shortest() -> None:
    """Equal names, wildcards, other intervals: one update a tick."""
    fanout = Fanout()
    client = fanout.client("json", "fast", "quotes.#", interval_ms=80)
    client.subscribe("quotes.a", interval_ms=20)
    client.subscribe("quotes.*", interval_ms=40)
    started = len(client.events)
    for _ in range(40):  # half a tick each
        fanout.publish("quotes.a")
        fanout.publish("quotes.b")
        fanout.publish("quotes.deep.c")
        await fanout.settle(0.01)
    await fanout.settle()
    counts = [
        len(client.seqs(name, since=started)) for name in ("quotes.a", "quotes.b", "quotes.deep.c")
    ]
    for count, interval_ms in zip(counts, (20, 40, 80), strict=True):
        assert abs(count - 400 / interval_ms) <= 2, counts


@pytest.mark.parametrize("mode", ["fast", "lazy", "stalled"])
@skips_time
async def test_changing_the_interval_leaves_nothing_stale(mode: str) -> None:
    """A change that waited for the old tick comes although the new one is far."""
    fanout = Fanout()
    client = fanout.client("json", mode, "quotes.#", interval_ms=20)
    for index in range(50):
        fanout.publish("quotes.a", index)
        await fanout.settle(0.007)
        fanout.publish("quotes.b", index)
        client.subscribe("quotes.#", interval_ms=(20, 40, 80)[index % 3], snapshot=False)
    client.pipe.become("fast")
    await fanout.settle()
    assert client.seqs("quotes.a")[-1] == client.seqs("quotes.b")[-1] == 50


@skips_time
async def test_a_change_between_a_tick_and_its_flush_leaves_nothing_stale() -> None:
    """What the old audience has taken and not yet written goes along."""
    fanout = Fanout()
    client = fanout.client("json", "fast", "quotes.#", interval_ms=20)
    audience = client.connection.conflated[20]
    [group] = [each for each in fanout.directory.groups_of(20) if audience in each.audiences]
    fanout.publish("quotes.a")
    assert group.unseen()
    group.tick()  # its flush is a job of a later turn
    assert not group.unseen()
    client.subscribe("quotes.#", interval_ms=80, snapshot=False)
    assert client.seqs("quotes.a") == []
    await fanout.settle()
    assert client.seqs("quotes.a") == [1]


@skips_time
async def test_without_a_lossless_feed_there_is_no_cursor() -> None:
    """And nothing waits any more for the audience that was left."""
    fanout = Fanout()
    client = fanout.client("json", "fast", "quotes.#", "trades.#")
    client.clog()
    fanout.publish("trades.a")
    client.unsubscribe("trades.#")
    fanout.publish("quotes.a")
    await fanout.settle()
    client.pipe.become("fast")
    await fanout.settle()
    assert client.connection.subscriber.cursor is None
    assert client.seqs("trades.a") == []
    assert client.seqs("quotes.a") == [1]
    assert not client.is_parked


@skips_time
async def test_unsubscribed_channels_are_not_sent_any_more() -> None:
    """What waited of them is dropped, lossless and conflated."""
    fanout = Fanout()
    client = fanout.client("json", "fast", "quotes.#", "trades.#", "book.#")
    client.clog()
    for name in ("quotes.a", "trades.a", "book.x"):
        fanout.publish(name)
    await fanout.settle()
    client.unsubscribe("quotes.#", "trades.#")
    client.pipe.become("fast")
    await fanout.settle()
    assert [one["channel"] for one in client.named("update")] == ["book.x"]


@skips_time
async def test_resubscribing_the_same_changes_nothing() -> None:
    """The audiences stay, the chain goes on, a new opening comes."""
    fanout = Fanout()
    client = fanout.client("json", "fast", "trades.#", "quotes.#")
    audiences = client.connection.lossless, dict(client.connection.conflated)
    sent = []
    for _ in range(5):
        sent.append(fanout.publish("trades.a"))
        client.subscribe("trades.#", "quotes.#")
        await fanout.settle(0.003)
    await fanout.settle()
    assert (client.connection.lossless, client.connection.conflated) == audiences
    assert client.seqs("trades.a") == sent
    assert len(client.named("snapshot_end")) == 6


@pytest.mark.parametrize("wire", WIRES)
@skips_time
async def test_the_cursor_forgets_a_feed_without_subscriptions(wire: str) -> None:
    """It would drag an old place along, and ask for what nobody wants after a resume."""
    fanout = Fanout()
    client = fanout.client(wire, "fast", "trades.a", "book.x")
    for name in ("book.x", "trades.a"):
        fanout.publish(name)
    await fanout.settle()
    assert "book" in parse(client.cursor or "")
    client.unsubscribe("book.x")
    fanout.publish("trades.a")
    await fanout.settle()
    reached = client.cursor
    assert list(parse(reached or "")) == ["trades"]
    client.subscriber.end(closing.DRAIN)
    await fanout.settle()
    assert client.events[-1]["cursor"] == reached, "nor does its own place stand still"


@pytest.mark.parametrize("bound", ["queue_updates_max", "queue_bytes_max"])
@skips_time
async def test_the_largest_bound_among_its_feeds_is_a_clients(bound: str) -> None:
    """A slow reader of two feeds lives past the smaller one, and gets all of both."""
    large = FeedSpec("trades", ("trades.#",), Delivery.LOSSLESS)
    smaller = FeedSpec("book", ("book.#",), Delivery.LOSSLESS)
    small = {
        "queue_updates_max": replace(smaller, queue_updates_max=10),
        "queue_bytes_max": replace(smaller, queue_bytes_max=1_000),
    }[bound]
    fanout = Fanout([large, small])
    client = fanout.client("json", "fast", "trades.a", "book.x")
    client.clog()
    trades, book = [], []
    for _ in range(20):
        trades.append(fanout.publish("trades.a"))
        book.append(fanout.publish("book.x"))
    await fanout.settle()
    client.pipe.become("fast")
    await fanout.settle()
    assert client.reason is None
    assert client.seqs("trades.a") == trades
    assert client.seqs("book.x") == book


@pytest.mark.parametrize("asked", ["book.x", "trades.a"])
@pytest.mark.parametrize("is_flushed", [True, False])
@skips_time
async def test_a_slow_client_that_subscribes_keeps_its_place(
    *, is_flushed: bool, asked: str
) -> None:
    """What waits for it is not behind its cursor: it comes back for it."""
    fanout = Fanout()
    client = fanout.client("json", "fast", "trades.a")
    client.clog()
    waits = [fanout.publish("trades.a") for _ in range(3)]
    if is_flushed:
        await fanout.settle()
    client.subscribe(asked)
    await fanout.settle()
    client.subscriber.end(closing.DRAIN)
    client.pipe.become("fast")
    await fanout.settle()
    assert client.events[-1]["event"] == "closing"
    assert not client.seqs("trades.a")
    again = fanout.client("json")
    again.subscribe("trades.a", cursor=client.cursor)
    await fanout.settle()
    assert again.seqs("trades.a") == waits
