"""tickfan.fanout.lossless: batches, and who joins or leaves in the middle of one."""

from __future__ import annotations

import gc
import weakref

import pytest

from tests.support.fanout import WIRES, Client, Fanout, skips_time
from tickfan.core import closing
from tickfan.fanout.audience import FLUSH_BYTES


@skips_time
async def test_a_joiner_is_not_given_what_was_pending_before() -> None:
    """It joins an audience with a batch under way, and gets the rest of it alone."""
    fanout = Fanout()
    first = fanout.client("json", "fast", "trades.a")
    fanout.publish("trades.a")
    await fanout.turns()
    early = [fanout.publish("trades.a") for _ in range(3)]
    joiner = fanout.client("json", "fast", "trades.a")
    late = [fanout.publish("trades.a") for _ in range(2)]
    writes = first.pipe.writes
    await fanout.settle()
    assert joiner.seqs("trades.a") == late
    assert first.seqs("trades.a") == [0, *early, *late]
    assert first.pipe.writes == writes + 1, "nobody else's write moves"


@skips_time
async def test_a_leaver_takes_what_is_pending_along() -> None:
    """Changing a subscription in the middle of a batch keeps the chain."""
    fanout = Fanout()
    client = fanout.client("json", "fast", "trades.a")
    stays = fanout.client("json", "fast", "trades.a")
    sent = [fanout.publish("trades.a")]
    await fanout.turns()
    for name in ("trades.b", "trades.c", "trades.*"):
        sent.append(fanout.publish("trades.a"))
        client.subscribe(name)
        sent.append(fanout.publish("trades.a"))
    await fanout.settle()
    assert client.seqs("trades.a") == stays.seqs("trades.a") == sent


@skips_time
async def test_a_full_batch_does_not_wait_for_its_window() -> None:
    """FLUSH_BYTES pending go out in this turn."""
    fanout = Fanout()
    client = fanout.client("json", "fast", "trades.a")
    sent = [fanout.publish("trades.a")]
    await fanout.turns()
    sent += [fanout.publish("trades.a", "x" * (FLUSH_BYTES // 8)) for _ in range(9)]
    await fanout.turns()
    assert client.seqs("trades.a")[:9] == sent[:9]
    await fanout.settle()
    assert client.seqs("trades.a") == sent


@pytest.mark.parametrize("wire", WIRES)
@skips_time
async def test_quiet_feeds_move_in_the_cursor_with_the_busy_one(wire: str) -> None:
    """An update's cursor knows the places of feeds whose channels are not asked for."""
    fanout = Fanout()
    client = fanout.client(wire, "fast", "trades.a", "book.x")
    fanout.publish("book.other")
    fanout.publish("trades.a")
    await fanout.settle()
    assert client.cursor is not None
    assert client.cursor == client.connection.subscriber.cursor
    assert fanout.feeds["book"].place in client.cursor


async def a_burst_is_pending(fanout: Fanout) -> tuple[Client, list[int]]:
    """A client whose audience has several flushes' worth of updates pending; what was sent."""
    client = fanout.client("json", "fast", "trades.a")
    sent = [fanout.publish("trades.a", ["old", 0])]
    await fanout.turns()  # it is not quiet any more: the next ones wait for the window
    sent += [fanout.publish("trades.a", ["old", "x" * (FLUSH_BYTES // 2)]) for _ in range(9)]
    assert client.seqs("trades.a") == sent[:1]
    return client, sent


@skips_time
async def test_a_joiner_is_given_nothing_of_a_burst_that_is_split() -> None:
    """However many flushes it takes until what had been pending is written."""
    fanout = Fanout()
    first, sent = await a_burst_is_pending(fanout)
    joiner = fanout.client("json", "fast", "trades.a")
    late = [fanout.publish("trades.a") for _ in range(2)]
    await fanout.settle()
    late.append(fanout.publish("trades.a"))
    await fanout.settle()
    assert joiner.seqs("trades.a") == late
    assert first.seqs("trades.a") == sent + late


@skips_time
async def test_all_of_a_burst_comes_before_the_reset_of_its_stream() -> None:
    """More than one flush takes: all old updates, the event, then the new ones."""
    fanout = Fanout()
    client, sent = await a_burst_is_pending(fanout)
    fanout.reset("trades")
    for _ in range(2):
        fanout.publish("trades.a", ["new"])
    await fanout.settle()
    told = [one["data"][0] if one["event"] == "update" else one["event"] for one in client.events]
    assert told == ["subscribed", "snapshot_end", *["old"] * len(sent), "reset", "new", "new"]
    assert client.seqs("trades.a")[: len(sent)] == sent


@skips_time
async def test_who_joins_and_leaves_within_a_batch_leaves_nothing_behind() -> None:
    """Its audience goes on; nothing of the one that left stays in memory."""
    fanout = Fanout()
    stays, _ = await a_burst_is_pending(fanout)
    joiner = fanout.client("json", "fast", "trades.a")
    left = weakref.ref(joiner)  # whoever holds the subscriber holds its client, too
    joiner.leave()
    del joiner
    await fanout.settle()
    gc.collect()
    assert left() is None
    assert stays.is_alive


@skips_time
async def test_a_joiner_that_moves_on_within_a_batch_is_given_nothing_of_before() -> None:
    """Its new audience owes it what came since it joined: once, and in order."""
    fanout = Fanout()
    await a_burst_is_pending(fanout)
    joiner = fanout.client("json", "fast", "trades.a")
    late = [fanout.publish("trades.a")]
    joiner.subscribe("trades.b")
    late.append(fanout.publish("trades.a"))
    await fanout.settle()
    assert joiner.seqs("trades.a") == late


@pytest.mark.parametrize("channel", ["trades.quiet", "quotes.quiet"])
@skips_time
async def test_a_joiner_that_moves_to_a_quiet_channel_waits_for_nothing(channel: str) -> None:
    """The batch that it would have waited for is not its own any more."""
    fanout = Fanout()
    await a_burst_is_pending(fanout)
    joiner = fanout.client("json", "fast", "trades.a")
    joiner.subscribe(channel)
    joiner.unsubscribe("trades.a")
    await fanout.settle()
    assert len(fanout.pump) == 0


@pytest.mark.parametrize("wire", WIRES)
@skips_time
async def test_a_cursor_given_within_a_batch_is_before_it(wire: str) -> None:
    """Whoever is cut right behind it comes back for the batch, and loses nothing of it."""
    fanout = Fanout()
    client = fanout.client(wire, "fast", "trades.a")
    fanout.publish("trades.a")
    await fanout.turns()
    pending = [fanout.publish("trades.a") for _ in range(3)]
    client.subscribe("book.x")
    assert client.events[-1]["event"] == "snapshot_end"
    assert client.seqs("trades.a") == [0]
    again = fanout.client(wire)
    again.subscribe("trades.a", cursor=client.cursor)
    await fanout.settle()
    assert again.seqs("trades.a") == pending
    assert client.seqs("trades.a") == [0, *pending]


@skips_time
async def test_two_that_fall_behind_in_one_flush_go_on_each_at_its_own_pace() -> None:
    """The place of the one that has caught up is not that of the other."""
    fanout = Fanout()
    quick, slow = (fanout.client("json", "fast", "trades.a") for _ in range(2))
    for client in (quick, slow):
        client.clog()
    sent = [fanout.publish("trades.a") for _ in range(3)]
    await fanout.settle()
    quick.pipe.become("fast")
    await fanout.settle()
    slow.subscriber.end(closing.DRAIN)
    slow.pipe.become("fast")
    await fanout.settle()
    assert (quick.seqs("trades.a"), slow.seqs("trades.a")) == (sent, [])
    again = fanout.client("json")
    again.subscribe("trades.a", cursor=slow.cursor)
    await fanout.settle()
    assert again.seqs("trades.a") == sent
