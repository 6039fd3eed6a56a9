"""service/replay.py: reading what was missed out of the history."""

from __future__ import annotations

import pytest

from service.core import closing
from service.core.feed import Delivery, FeedSpec
from service.core.history import OVERHEAD_BYTES
from service.replay import LOOK_BYTES
from service.subscriber import STEP_BYTES
from service.wire.inbound import footprint
from tests.support.fanout import WIRES, Fanout, skips_time


@pytest.mark.parametrize("wire", WIRES)
@skips_time
async def test_a_long_history_is_read_in_slices(wire: str) -> None:
    """A step's worth at a time, with updates coming in between, from two feeds."""
    fanout = Fanout()
    early = fanout.client(wire, "fast", "trades.#", "book.#")
    start = early.cursor
    trades, book = [], []
    for _ in range(200):
        trades.append(fanout.publish("trades.a", "x" * 900))
        book.append(fanout.publish("book.x", "x" * 900))
    await fanout.settle()
    client = fanout.client(wire, "lazy")
    client.subscribe("trades.#", "book.#", cursor=start)
    while client.subscriber.replay is not None:
        trades.append(fanout.publish("trades.a"))
        book.append(fanout.publish("book.x"))
        await fanout.turns(1)
        assert len(trades) < 5_000, "it never catches up"
    await fanout.settle()
    assert client.seqs("trades.a") == early.seqs("trades.a") == trades
    assert client.seqs("book.x") == early.seqs("book.x") == book
    assert client.pipe.peak <= STEP_BYTES * 2
    assert not client.subscriber.parked


@skips_time
async def test_only_the_channels_asked_for_are_read() -> None:
    """Passing over the others costs a slice too: one turn never scans a whole history."""
    fanout = Fanout()
    early = fanout.client("sse", "fast", "trades.rare")
    for _ in range(3 * STEP_BYTES // LOOK_BYTES):
        fanout.publish("trades.often")
    rare = fanout.publish("trades.rare")
    client = fanout.client("sse")
    client.subscribe("trades.rare", cursor=early.cursor)
    assert client.subscriber.replay is not None
    await fanout.turns(1)
    assert not client.seqs("trades.rare")
    await fanout.settle()
    assert client.seqs("trades.rare") == [rare]


@skips_time
async def test_a_reader_that_history_overtakes_is_ended_by_name() -> None:
    """Never a silent hole: slow, and its cursor says where it was."""
    held = 100 * (OVERHEAD_BYTES + footprint(b"x" * 902))
    spec = FeedSpec("trades", ("trades.#",), Delivery.LOSSLESS, history_bytes_max=held)
    fanout = Fanout([spec])
    early = fanout.client("json", "fast", "trades.#")
    start = early.cursor
    sent = [fanout.publish("trades.a", "x" * 900) for _ in range(60)]
    await fanout.settle()
    client = fanout.client("json", "fast")
    client.subscribe("trades.#", cursor=start)
    client.pipe.become("stalled")
    await fanout.settle()
    sent += [fanout.publish("trades.a", "x" * 900) for _ in range(90)]
    client.pipe.become("fast")
    await fanout.settle()
    assert client.reason is closing.SLOW
    seqs = client.seqs("trades.a")
    assert seqs
    assert seqs == sent[: len(seqs)]
    again = fanout.client("json")
    again.subscribe("trades.#", cursor=client.cursor)
    await fanout.settle()
    assert [one["reason"] for one in again.named("reset")] == ["history_lost"]


@skips_time
async def test_a_replay_survives_a_change_of_subscriptions() -> None:
    """A channel that is added or given up in the middle does not disturb the others."""
    fanout = Fanout()
    early = fanout.client("json", "fast", "trades.#")
    start = early.cursor
    sent = [fanout.publish("trades.a", "x" * 9_000) for _ in range(20)]
    await fanout.settle()
    client = fanout.client("json", "stalled")
    client.subscribe("trades.a", "trades.b", "book.x", cursor=start)
    for change in (lambda: client.subscribe("trades.c"), lambda: client.unsubscribe("book.x")):
        client.pipe.read()
        await fanout.settle(0.02)
        assert client.subscriber.replay is not None
        change()
        sent.append(fanout.publish("trades.a"))
        fanout.publish("book.x", "not wanted")
    client.unsubscribe("trades.b")
    rest = [fanout.publish("trades.c")]
    client.pipe.become("fast")
    await fanout.settle()
    assert client.seqs("trades.a") == sent
    assert client.seqs("trades.c") == rest


@skips_time
async def test_a_stream_that_is_lost_in_the_middle_of_a_replay_goes_on_with_the_new() -> None:
    """All of the new one comes, though its numbers are below those that have been read."""
    fanout = Fanout()
    early = fanout.client("json", "fast", "trades.a")
    start = early.cursor
    old = [fanout.publish("trades.a", "x" * 9_000) for _ in range(20)]
    await fanout.settle()
    client = fanout.client("json", "stalled")
    client.subscribe("trades.a", cursor=start)
    while not client.seqs("trades.a"):
        client.pipe.read()
        await fanout.settle(0.02)
    fanout.reset("trades")
    new = [fanout.publish("trades.a", "new") for _ in range(3)]
    client.pipe.become("fast")
    await fanout.settle()
    at = client.events.index(client.named("reset")[0])
    before = [one["seq"] for one in client.events[:at] if one["event"] == "update"]
    assert 0 < len(before) < len(old)
    assert before == old[: len(before)]
    assert client.seqs("trades.a", since=at) == new


@skips_time
async def test_newest_values_do_not_wait_for_the_turn_to_resume() -> None:
    """They come to a slow client, too, as soon as its socket has drained."""
    fanout = Fanout(replays_max=0)  # the turn never comes
    early = fanout.client("json", "fast", "trades.a")
    fanout.publish("trades.a")
    client = fanout.client("json")
    client.subscribe("trades.a", "quotes.a", cursor=early.cursor)
    client.clog()
    newest = [fanout.publish("quotes.a") for _ in range(3)][-1]
    await fanout.settle()
    client.pipe.become("fast")
    await fanout.settle()
    assert client.seqs("quotes.a") == [newest]
    assert not client.seqs("trades.a"), "it should be waiting"
