"""service/audience.py: the shared flush, and who is taken off it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from service.audience import FLUSH_BYTES, MEMBERS_MAX
from service.core import closing
from tests.support.fanout import WIRES, Fanout, skips_time

if TYPE_CHECKING:
    from tests.support.fanout import Client


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
    assert fanout.hub.tally.parked == 4
    for client in clients[1::3]:
        client.pipe.become("fast")
    await fanout.settle()
    assert all(client.seqs(channel) == [sent] for client in clients[1::3])


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
async def test_a_large_tick_is_bounded_and_complete() -> None:
    """At most FLUSH_BYTES go to everybody at once; the rest follows, nothing is stale."""
    fanout = Fanout()
    clients = crowd(fanout, "sse", "quotes.#")
    for client in clients[:6]:
        client.pipe.become("lazy")
    for index in range(300):
        fanout.publish(f"quotes.{index}", "x" * 1_000)
    await fanout.settle()
    for client in clients:
        assert {one["channel"] for one in client.named("update")} == {
            f"quotes.{index}" for index in range(300)
        }
        assert client.pipe.peak <= FLUSH_BYTES * 1.1


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


@skips_time
async def test_siblings_share_a_key() -> None:
    """Above MEMBERS_MAX another audience begins; it ends when its last member leaves."""
    fanout = Fanout()
    clients = crowd(fanout, "sse", "trades.a", MEMBERS_MAX + 2)
    assert len(fanout.hub.directory) == 2
    for client in clients[-2:]:
        client.leave()
    assert len(fanout.hub.directory) == 1
    sent = fanout.publish("trades.a")
    await fanout.settle()
    assert all(client.seqs("trades.a") == [sent] for client in clients[:-2])
    assert not clients[-1].seqs("trades.a")


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
    assert client.cursor == client.connection.cursor
    assert fanout.hub.feeds["book"].place in client.cursor


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
