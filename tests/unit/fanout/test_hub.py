"""tickfan/fanout/hub.py: the fan-out as a whole."""

from __future__ import annotations

import pytest

from tests.support.fanout import WIRES, Fanout, skips_time, timers
from tickfan.core import closing
from tickfan.core.feed import Upstream
from tickfan.core.spec import Delivery, FeedSpec

SPECS = (
    FeedSpec("quotes", ("quotes.#",), Delivery.CONFLATED, interval_ms=20),
    FeedSpec("trades", ("trades.#",), Delivery.LOSSLESS, flush_ms=10, queue_updates_max=12),
    FeedSpec("book", ("book.#",), Delivery.LOSSLESS, flush_ms=5, queue_updates_max=20,
             queue_bytes_max=200_000),
)  # fmt: skip


@pytest.mark.parametrize("wire", ["sse", "ndjson", "msgpack", "json"])
@pytest.mark.parametrize("kind", ["fast", "lazy", "pending", "slow", "replaying"])
@skips_time
async def test_a_reset_divides_the_old_stream_from_the_new(wire: str, kind: str) -> None:
    """One event; nothing old after it, everything new after it, chained from null."""
    fanout = Fanout()
    early = fanout.client(wire, "fast", "trades.#")
    old = [fanout.publish("trades.a", ["old", "x" * 3_000]) for _ in range(30)]
    await fanout.settle()
    client = fanout.client(wire, "lazy" if kind == "lazy" else "fast")
    if kind == "replaying":
        client.pipe.become("stalled")
    begin = early.named("snapshot_end")[0]["cursor"]
    client.subscribe("trades.#", "book.#", cursor=begin)
    book = [fanout.publish("book.x")]
    await fanout.settle()
    if kind == "slow":
        client.clog()
    old += [fanout.publish("trades.a", ["old"]) for _ in range(3)]
    if kind == "slow":
        await fanout.settle()
    # A flush of the old stream is under way when the new one begins.
    fanout.reset("trades")
    new = [fanout.publish("trades.a", ["new"]) for _ in range(3)]
    book.append(fanout.publish("book.x"))
    await fanout.turns()
    new += [fanout.publish("trades.a", ["new"]) for _ in range(3)]
    await fanout.settle()
    client.pipe.become("fast")
    await fanout.settle()
    resets = client.named("reset")
    told = [(one["feed"], one["reason"], one["oldest"]) for one in resets]
    assert told == [("trades", "recreated", None)], "nothing is held of a new stream"
    at = client.events.index(resets[0])
    before = [one for one in client.events[:at] if one.get("channel") == "trades.a"]
    after = [one for one in client.events[at:] if one.get("channel") == "trades.a"]
    assert all(one["data"][0] == "old" for one in before)
    assert [one["seq"] for one in before] == old[: len(before)]
    if kind in ("fast", "lazy", "pending"):
        assert len(before) == len(old)
    assert [(one["seq"], one["data"]) for one in after] == [(seq, ["new"]) for seq in new]
    assert [one["prev"] for one in after] == [None, *new[:-1]]
    assert client.seqs("book.x") == book, "the other feed is unharmed"
    for cursor, due in ((resets[0]["cursor"], new), (client.cursor, [])):
        again = fanout.client(wire)
        again.subscribe("trades.#", cursor=cursor)
        await fanout.settle()
        assert again.seqs("trades.a") == due
        assert not again.named("reset")


@skips_time
async def test_a_cursor_of_the_old_stream_is_answered_with_reset() -> None:
    """Also that of a client that was ended just before, and closed just after."""
    fanout = Fanout()
    client = fanout.client("sse", "fast", "trades.#")
    client.closing_delay_s = 0.1
    fanout.publish("trades.a", "old")
    await fanout.settle()
    client.subscriber.end(closing.DRAIN)
    fanout.reset("trades")
    fanout.publish("trades.a", "new")
    await fanout.settle()
    assert not client.named("reset")
    again = fanout.client("sse")
    again.subscribe("trades.#", cursor=client.cursor)
    await fanout.settle()
    assert [one["feed"] for one in again.named("reset")] == ["trades"]


@pytest.mark.parametrize("wire", WIRES)
@skips_time
async def test_a_thousand_subscribers_cost_one_encoding(wire: str) -> None:
    """And one write each, though they are more than one audience holds."""
    fanout = Fanout()
    clients = [fanout.client(wire, "fast", "trades.a") for _ in range(1_000)]
    before = sum(client.pipe.writes for client in clients)
    encoded = fanout.formats.encodings.total
    sent = fanout.publish("trades.a")
    await fanout.settle()
    assert fanout.formats.encodings.total - encoded == 1
    assert sum(client.pipe.writes for client in clients) - before == 1_000
    assert all(client.seqs("trades.a") == [sent] for client in clients)
    assert len(fanout.directory) == 2


@skips_time
async def test_the_formats_share_what_they_can() -> None:
    """SSE and NDJSON have one object, the two WebSocket encodings one row each."""
    fanout = Fanout()
    for wire in WIRES:
        for _ in range(3):
            fanout.client(wire, "fast", "trades.a")
    fanout.publish("trades.a")
    await fanout.settle()
    encodings = fanout.formats.encodings
    assert (encodings.json_objects, encodings.json_rows, encodings.msgpack_rows) == (1, 1, 1)


@skips_time
async def test_a_burst_is_one_write_each_and_calm_one_write_an_update() -> None:
    """Lossless: at once when quiet, else one write a window."""
    fanout = Fanout()
    clients = [fanout.client("sse", "fast", "trades.a") for _ in range(20)]
    fanout.publish("trades.a")
    await fanout.turns()
    before = [client.pipe.writes for client in clients]
    assert before == [2] * 20, "a quiet audience does not wait"
    for _ in range(100):
        fanout.publish("trades.a")
    await fanout.settle()
    assert [client.pipe.writes for client in clients] == [3] * 20


@skips_time
async def test_a_busy_conflated_channel_is_encoded_once_a_tick() -> None:
    """A thousand updates between two ticks are one encoding, and seq counts what was conflated."""
    fanout = Fanout()
    clients = [fanout.client("sse", "fast", "quotes.#") for _ in range(50)]
    await fanout.settle(0.001)
    for value in range(1_000):
        fanout.publish("quotes.a", value)
    await fanout.settle()
    assert fanout.formats.encodings.total == 1
    for client in clients:
        (update,) = client.named("update")
        assert (update["seq"], update["data"]) == (1_000, 999)
    assert fanout.tally.conflated["quotes"] == 999


@skips_time
async def test_timers_belong_to_intervals() -> None:
    """A hundred times the clients, no more timers; without clients none at all."""
    counts = []
    for clients in (30, 3_000):
        fanout = Fanout()
        assert timers(fanout.loop) == 0
        everybody = [
            fanout.client("sse", "fast", "quotes.#", "trades.#", interval_ms=(20, 40, 80)[n % 3])
            for n in range(clients)
        ]
        fanout.publish("trades.a")
        fanout.publish("quotes.a")
        counts.append(timers(fanout.loop))
        await fanout.settle()
        for client in everybody:
            client.leave()
        await fanout.settle()
        assert len(fanout.directory) == 0
        assert timers(fanout.loop) == 0
    assert counts[1] <= counts[0] + 2 + 4 + 8, counts  # the slots of three intervals


@skips_time
async def test_an_outage_is_told_once_with_its_newest_reason() -> None:
    """The time is that of its beginning."""
    fanout = Fanout()
    client = fanout.client("json", "fast", "book.x")
    book = fanout.feeds["book"]
    for now, why in ((2, "gone"), (3, "still gone")):
        fanout.hub.upstream(book, Upstream.STALE, why, now)
        assert (book.why, book.since_ms) == (why, 2)
    await fanout.settle()
    assert [event["upstream"] for event in client.named("status")] == ["stale"]


@skips_time
async def test_a_stopped_fan_out_is_silent() -> None:
    """stop ends every timer, whoever is connected."""
    fanout = Fanout()
    clients = [fanout.client("sse", "fast", "#") for _ in range(3)]
    clients[0].clog()
    for _ in range(3):
        fanout.publish("trades.a")
        fanout.publish("quotes.a")
        await fanout.turns()
    for part in (fanout.directory, fanout.pump, fanout.background, fanout.slices):
        part.stop()
    assert timers(fanout.loop) == 0
