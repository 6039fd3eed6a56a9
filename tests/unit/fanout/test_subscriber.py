"""tickfan.fanout.subscriber: one connection's budget, backlog and last word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.fanout import WIRES, Client, Fanout, bound_of, skips_time
from tickfan.core import closing
from tickfan.core.feed import Upstream
from tickfan.core.spec import Delivery, FeedSpec
from tickfan.fanout.backlog import CONTROLS_MAX
from tickfan.fanout.openings import OPENINGS_MAX
from tickfan.fanout.serving import STEP_BYTES

HELD_MAX = 2 * STEP_BYTES
"""What may wait on our side for a client that reads nothing."""


@skips_time
async def test_an_event_for_a_full_transport_arrives_when_it_drains() -> None:
    """A control that found bytes in the transport does not wait for the next update."""
    fanout = Fanout()
    client = fanout.client("sse", "stalled", "trades.a")
    client.pipe.read()
    fanout.publish("trades.a", "x" * 10_000)
    await fanout.turns()
    assert not client.is_parked
    fanout.ingest.upstream("trades", Upstream.STALE, "")
    await fanout.turns()
    client.pipe.become("fast")
    await fanout.settle()
    assert [one["upstream"] for one in client.named("status")] == ["stale"]


@pytest.mark.parametrize("wire", WIRES)
@skips_time
async def test_the_cursor_of_an_ended_client_stands_still(wire: str) -> None:
    """What is flushed to others after the end is not in the cursor of its ``closing``."""
    fanout = Fanout()
    client = fanout.client(wire, "fast", "trades.a")
    other = fanout.client(wire, "fast", "trades.a")
    client.closing_delay_s = 0.1
    first = fanout.publish("trades.a")
    await fanout.settle()
    client.subscriber.end(closing.DRAIN)
    second = fanout.publish("trades.a")
    await fanout.settle()
    assert client.seqs("trades.a") == [first]
    assert other.seqs("trades.a") == [first, second]
    assert client.events[-1]["event"] == "closing"
    again = fanout.client(wire, "fast")
    again.subscribe("trades.a", cursor=client.events[-1]["cursor"])
    await fanout.settle()
    assert again.seqs("trades.a") == [second]


@pytest.mark.parametrize("wire", ["sse", "ndjson", "msgpack"])
@pytest.mark.parametrize("size", [0, 900, 9_000])
@skips_time
async def test_a_client_that_reads_nothing_holds_64_kib(wire: str, size: int) -> None:
    """Snapshot, newest values, replay and queue together, whatever the size of an update."""
    fanout = Fanout([
        FeedSpec("quotes", ("quotes.#",), Delivery.CONFLATED, interval_ms=20),
        FeedSpec("trades", ("trades.#",), Delivery.LOSSLESS, queue_bytes_max=2**26),
    ])  # fmt: skip
    channels = 600 if size == 0 else 150
    early = fanout.client(wire, "fast", "trades.#")
    for index in range(channels):
        fanout.publish(f"quotes.{index}", "x" * size)
        fanout.publish(f"trades.{index}", "x" * size)
    await fanout.settle()
    client = fanout.client(wire, "stalled")
    client.subscribe("#", cursor=early.events[1]["cursor"])
    for _ in range(6):
        for index in range(channels):
            fanout.publish(f"quotes.{index}", "y" * size)
            if index < 30:
                fanout.publish(f"trades.{index}", "y" * size)
        await fanout.settle(0.03)
        client.pipe.read(30_000)
    assert client.backlog.marks
    assert client.pipe.peak <= HELD_MAX + size, f"{client.pipe.peak} bytes were held"
    assert client.reason is None


@pytest.mark.parametrize("wire", ["msgpack", "json"])
@skips_time
async def test_what_is_longer_on_the_wire_is_bounded_there(wire: str) -> None:
    """A float of three characters has nine bytes in MessagePack."""
    fanout = Fanout()
    client = fanout.client(wire, "stalled", "quotes.#")
    for number in range(3):
        for index in range(60):
            fanout.publish(f"quotes.{index}", [number + 0.5] * 1_000)
        await fanout.settle(0.03)
        client.pipe.read(30_000)
    assert client.pipe.peak <= HELD_MAX
    client.pipe.become("fast")
    await fanout.settle()
    assert {one["data"][999] for one in client.named("update")[-60:]} == {2.5}


@skips_time
async def test_a_flood_of_gaps_is_bounded_in_bytes_too() -> None:
    """A gap counts for what it takes on the wire."""
    fanout = Fanout()
    client = fanout.client("sse", "stalled", "trades.#")
    client.clog()
    for _ in range(2_000):
        fanout.deliver("trades.a", b"not JSON")
    await fanout.settle()
    client.pipe.read()
    await fanout.settle()
    assert client.pipe.peak <= HELD_MAX
    client.pipe.become("fast")
    await fanout.settle()
    assert len(client.named("gap")) == 2_000


@skips_time
async def test_controls_are_bounded() -> None:
    """Too many events for a client that does not read end it by name."""
    fanout = Fanout()
    client = fanout.client("json", "stalled", "quotes.#")
    client.clog()
    for index in range(CONTROLS_MAX + 1):
        assert client.reason is None, index
        client.subscriber.control(b"a reply")
    assert client.reason is closing.STALLED
    assert len(client.backlog.controls) == CONTROLS_MAX
    assert bound_of(client).name == "CONTROLS_MAX"


@skips_time
async def test_controls_behind_a_head_are_bounded_too() -> None:
    """Wherever they wait, together they are no more."""
    fanout = Fanout()
    client = fanout.client("json", "stalled")
    client.clog()
    client.subscriber.control(b"a reply")
    client.subscribe("quotes.#")
    for _ in range(CONTROLS_MAX - 2):
        client.subscriber.control(b"a reply")
    assert client.reason is None
    assert client.subscriber.events_waiting == CONTROLS_MAX
    client.subscriber.control(b"a reply")
    assert client.reason is closing.STALLED


@skips_time
@pytest.mark.parametrize("wire", ["json", "msgpack", "sse"])
async def test_an_answer_does_not_overtake_the_one_before_it(wire: str) -> None:
    """Each command's answer behind a slow socket comes in its order."""
    fanout = Fanout()
    for name in ("quotes.a", "trades.a"):
        fanout.publish(name)
    client = fanout.client(wire, "stalled")
    client.clog()
    tell = client.subscriber.control
    tell(client.subscriber.format.event("pong", {"id": 1}))
    client.subscribe("quotes.*")
    tell(client.subscriber.format.event("pong", {"id": 2}))
    client.subscribe("trades.*")
    tell(client.subscriber.format.event("pong", {"id": 3}))
    client.pipe.become("fast")
    await fanout.settle()
    said = [one for one in client.events if one["event"] in ("pong", "subscribed", "snapshot_end")]
    assert [one.get("id", one["event"]) for one in said] == [
        1, "subscribed", 2, "snapshot_end", "subscribed", 3, "snapshot_end",
    ]  # fmt: skip


@pytest.mark.parametrize("wire", WIRES)
@skips_time
async def test_an_event_overtakes_nothing_though_the_socket_has_drained(wire: str) -> None:
    """A feed's state is told after the answer to its subscription, which waited before it."""
    fanout = Fanout()
    client = fanout.client(wire, "stalled")
    client.clog()
    client.subscribe("quotes.a")
    client.pipe.become("fast")
    fanout.ingest.upstream("quotes", Upstream.STALE, "")
    await fanout.settle()
    told = [one["event"] for one in client.events]
    assert told == ["filler", "subscribed", "status", "snapshot_end"]


async def clogged_behind_openings(fanout: Fanout) -> Client:
    """A client of a lossless feed whose later subscriptions wait behind its socket."""
    for index in range(60):
        fanout.publish(f"quotes.{index:02}", "x" * 3_000)
    client = fanout.client("json", "fast", "trades.a")
    fanout.publish("trades.a", "of the old stream")
    await fanout.settle()
    client.clog()
    for pattern in ("quotes.#", "quotes.*", "book.#"):
        client.subscribe(pattern)
    return client


@skips_time
async def test_no_cursor_of_a_new_stream_comes_before_its_reset() -> None:
    """Whoever is cut anywhere comes back with a cursor that tells of the loss."""
    fanout = Fanout()
    client = await clogged_behind_openings(fanout)
    before = client.cursor
    fanout.reset("trades")
    fanout.publish("trades.a", "of the new stream")
    while not client.named("reset"):
        assert client.cursor == before
        client.pipe.read(20_000)
        await fanout.settle(0.02)
    client.pipe.become("fast")
    await fanout.settle()
    assert len(client.named("snapshot_end")) == 4
    assert client.named("update")[-1]["data"] == "of the new stream"
    assert client.cursor != before
    assert client.connection.subscriber.cursor == client.cursor


@skips_time
@pytest.mark.parametrize("told", ["reset of a stream", "reset of a resume"])
async def test_who_is_ended_before_it_hears_of_a_reset_keeps_its_cursor(told: str) -> None:
    """The goodbye has none: the one that it has brings the reset when it comes back."""
    fanout = Fanout()
    if told == "reset of a stream":
        client = await clogged_behind_openings(fanout)
        before = client.cursor
        fanout.reset("trades")
    else:
        for index in range(60):
            fanout.publish(f"quotes.{index:02}", "x" * 3_000)
        client = fanout.client("json", "fast")
        before = "1~trades.zz.AAAAAAAAAAA"
        client.clog()
        client.subscribe("quotes.#")
        client.subscribe("trades.a", cursor=before)
        for _ in range(2):
            client.pipe.read(20_000)  # so that a part of the first is sent
            await fanout.settle(0.1)
        assert len(client.named("subscribed")) == 1
    fanout.publish("trades.a", "of the new stream")
    await fanout.settle(0.1)
    client.subscriber.end(closing.DRAIN)
    await fanout.settle(0.1)
    client.pipe.become("fast")
    await fanout.settle(0.1)
    assert not client.named("reset")
    assert client.named("closing")
    assert client.cursor in (None, before)


@skips_time
async def test_who_has_been_told_of_a_reset_is_given_a_cursor_again() -> None:
    """Though it is still behind: its goodbye says where the new stream goes on."""
    fanout = Fanout()
    client = fanout.client("json", "fast", "trades.a")
    client.clog()
    fanout.reset("trades")
    sent = [fanout.publish("trades.a", "x" * 20_000) for _ in range(4)]
    for _ in range(2):
        client.pipe.read()
        await fanout.settle(0.02)
    assert client.is_parked
    client.subscriber.end(closing.DRAIN)
    await fanout.settle(0.02)
    client.pipe.read()
    assert client.named("reset")
    assert "cursor" in client.named("closing")[0]
    again = fanout.client("json")
    again.subscribe("trades.a", cursor=client.cursor)
    await fanout.settle()
    assert client.seqs("trades.a") + again.seqs("trades.a") == sent


@skips_time
async def test_openings_are_bounded() -> None:
    """A client that subscribes and never reads is ended by name, not stored for ever."""
    fanout = Fanout()
    client = fanout.client("json", "stalled", "quotes.#")
    client.clog()
    for _ in range(1_000):
        client.subscribe("quotes.#")
        if client.reason is not None:
            break
    assert client.reason is closing.STALLED
    assert len(client.backlog.openings) == OPENINGS_MAX + 1, "with the one that ended it"
    assert bound_of(client).name == "OPENINGS_MAX"


@skips_time
async def test_a_snapshot_that_waits_is_not_sent_of_what_is_unsubscribed() -> None:
    """The client has been told that it gets no more of it."""
    fanout = Fanout()
    for name in ("quotes.a", "quotes.b"):
        fanout.publish(name)
    client = fanout.client("json", "stalled")
    client.clog()
    client.subscribe("quotes.a", "quotes.b")
    client.unsubscribe("quotes.a")
    client.pipe.become("fast")
    await fanout.settle()
    assert [one["channel"] for one in client.named("update")] == ["quotes.b"]


@skips_time
async def test_a_full_state_that_waits_is_not_sent_of_what_is_unsubscribed() -> None:
    """As with newest values."""
    fanout = Fanout()
    for name in ("book.x", "book.y"):
        fanout.publish(name, type="snapshot")
    client = fanout.client("json", "stalled")
    client.clog()
    client.subscribe("book.x", "book.y")
    client.unsubscribe("book.x")
    client.pipe.become("fast")
    await fanout.settle()
    assert [one["channel"] for one in client.named("update")] == ["book.y"]


@skips_time
async def test_one_mark_a_channel() -> None:
    """A stalled client holds at most one mark for each channel, and gets the newest value."""
    fanout = Fanout()
    client = fanout.client("sse", "stalled", "quotes.#")
    client.clog()
    for count in range(500):
        for name in ("quotes.a", "quotes.b"):
            fanout.publish(name, count)
        await fanout.settle(0.02)
        assert len(client.backlog.marks) <= 2
    client.pipe.become("fast")
    await fanout.settle()
    assert client.seqs("quotes.a") == [500]
    assert [one["data"] for one in client.named("update")] == [499, 499]


@skips_time
async def test_values_are_picked_when_they_are_written() -> None:
    """Not when they were marked: the newest value, though no tick has come since."""
    fanout = Fanout()
    client = fanout.client("sse", "stalled", "quotes.#", interval_ms=80)
    client.clog()
    fanout.publish("quotes.a", 1)
    await fanout.settle(0.1)
    assert len(client.backlog.marks) == 1
    fanout.publish("quotes.a", 2)
    client.pipe.become("fast")
    await fanout.settle(0.011)
    assert [one["data"] for one in client.named("update")] == [2]


@pytest.mark.parametrize("bound", ["queue_updates_max", "queue_bytes_max"])
@skips_time
async def test_a_full_queue_ends_the_client_by_name_and_cursor(bound: str) -> None:
    """Never above either bound; then ``slow``, and the cursor continues exactly."""
    trades = FeedSpec("trades", ("trades.#",), Delivery.LOSSLESS)
    specs = {
        "queue_updates_max": replace(trades, queue_updates_max=10),
        "queue_bytes_max": replace(trades, queue_bytes_max=3_000),
    }
    fanout = Fanout([specs[bound]])
    client = fanout.client("ndjson", "stalled", "trades.#")
    client.clog()
    sent = []
    while client.reason is None:
        sent.append(fanout.publish("trades.a", "x" * 100))
        await fanout.settle(0.02)
        queue = client.backlog.queue
        assert queue is None or (len(queue) <= queue.items_max and queue.size <= queue.size_max)
        assert len(sent) < 100, "never ended"
    assert client.reason is closing.SLOW
    queue = client.backlog.queue
    assert queue is not None
    assert bound_of(client) == (bound, len(queue), queue.size)
    client.pipe.become("fast")
    await fanout.settle()
    assert client.events[-1]["event"] == "closing"
    again = fanout.client("sse", "fast")
    again.subscribe("trades.#", cursor=client.events[-1]["cursor"])
    await fanout.settle()
    assert client.seqs("trades.a") + again.seqs("trades.a") == sent


@skips_time
async def test_until_ends_at_the_first_of_its_type() -> None:
    """Nothing after it, on the shared path and for a slow client."""
    fanout = Fanout()
    clients = [fanout.client("sse", mode, "trades.a", until="done") for mode in ("fast", "stalled")]
    clients[1].clog()
    for type_ in (None, "done", None):
        fanout.publish("trades.a", 1, type=type_)
    await fanout.settle()
    clients[1].pipe.become("fast")
    await fanout.settle()
    for client in clients:
        assert client.seqs("trades.a") == [0, 1024]
        assert client.reason is closing.DONE


@pytest.mark.parametrize("wire", WIRES)
@skips_time
async def test_who_ends_in_the_middle_of_a_flush_is_told_where(wire: str) -> None:
    """The cursor of its ``closing`` is the end's: what follows in the flush it was not sent."""
    fanout = Fanout()
    client = fanout.client(wire, "fast", "trades.a", until="done")
    sent = [fanout.publish("trades.a", 1, type=type_) for type_ in (None, "done", None)]
    await fanout.settle()
    assert client.reason is closing.DONE
    assert client.events[-1]["event"] == "closing"
    again = fanout.client(wire)
    again.subscribe("trades.a", cursor=client.cursor)
    await fanout.settle()
    assert client.seqs("trades.a") + again.seqs("trades.a") == sent


@pytest.mark.parametrize("cut", ["resume", "another", "reset", "end"])
@skips_time
async def test_no_cursor_comes_before_a_full_state_that_it_is_behind(cut: str) -> None:
    """Whoever is cut in the middle of the state comes back with one that brings it whole."""
    fanout = Fanout()
    for type_ in ("snapshot", *[None] * 9):
        fanout.publish("book.x", "x" * 30_000, type=type_)
    client = fanout.client("json", "stalled")
    if cut == "resume":  # what it had been given is lost
        client.subscribe("book.x", cursor=f"1~book.zz.{'A' * 11}")
    else:
        client.clog()
        if cut == "another":
            client.subscribe("trades.a")
        client.subscribe("book.x", "trades.b")
        client.pipe.read()
        await fanout.settle(0.02)
    if cut == "reset":
        fanout.reset("trades")
    elif cut == "end":
        client.subscriber.end(closing.DRAIN)
    client.pipe.read()
    await fanout.settle(0.02)
    client.pipe.read()
    assert bool(client.named("reset")) == (cut in ("resume", "reset"))
    assert len(client.named("update")) < 10
    assert "book" not in (client.cursor or ""), client.cursor


@skips_time
async def test_until_holds_in_a_replay_too() -> None:
    """A resume reads up to the end that was asked for, and not on."""
    fanout = Fanout()
    early = fanout.client("sse", "fast", "trades.a")
    for type_ in (None, None, "done", None):
        fanout.publish("trades.a", 1, type=type_)
    await fanout.settle()
    cursor = early.named("update")[0]["cursor"]
    client = fanout.client("sse", "fast", until="done")
    client.subscribe("trades.a", cursor=cursor, until="done")
    await fanout.settle()
    assert client.seqs("trades.a") == [1024, 2048]
    assert client.reason is closing.DONE


@skips_time
async def test_until_holds_in_a_snapshot_too() -> None:
    """The end is in the full state: nothing of it comes later, and no live update."""
    fanout = Fanout()
    for type_ in ("snapshot", None, "done", None):
        fanout.publish("book.x", type_, type=type_)
    client = fanout.client("sse", "fast", "book.x", until="done")
    fanout.publish("book.x")
    await fanout.settle()
    assert [one["data"] for one in client.named("update")] == ["snapshot", None, "done"]
    assert client.reason is closing.DONE
    again = fanout.client("sse")
    again.subscribe("book.x", cursor=client.cursor)
    await fanout.settle()
    assert again.seqs("book.x") == [3072, 4096], "its cursor is the end's"


@pytest.mark.parametrize("wire", WIRES)
@skips_time
async def test_a_snapshot_of_many_steps_comes_whole(wire: str) -> None:
    """Up to its end, although nothing else happens meanwhile."""
    fanout = Fanout()
    names = [f"quotes.{index:02}" for index in range(60)]
    for name in names:
        fanout.publish(name, "x" * 3_000)
    client = fanout.client(wire, "fast", "quotes.#")
    assert len(client.named("update")) < 60, "it should be more than one step"
    await fanout.settle()
    assert sorted(one["channel"] for one in client.named("update")) == names
    assert client.events[-1]["event"] == "snapshot_end"
