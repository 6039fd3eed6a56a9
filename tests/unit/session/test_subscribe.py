"""tickfan.session.subscribe: plan, join, recover, answer."""

from __future__ import annotations

import pytest

from tests.support.fanout import WIRES, Fanout, skips_time
from tickfan.core import closing
from tickfan.core.errors import Refusal
from tickfan.core.history import OVERHEAD_BYTES
from tickfan.core.spec import Delivery, FeedSpec
from tickfan.fanout.openings import OPENINGS_MAX


@pytest.mark.parametrize("wire", WIRES)
@skips_time
async def test_a_newcomer_gets_its_opening_in_one_write(wire: str) -> None:
    """subscribed, the snapshot, snapshot_end: in this order, here and now."""
    fanout = Fanout()
    for index in range(3):
        fanout.publish("quotes.a", index)
    client = fanout.client(wire, "fast", "quotes.#", "trades.a")
    assert client.pipe.writes == 1
    subscribed, snapshot, end = client.events
    assert subscribed["event"] == "subscribed"
    assert (snapshot["channel"], snapshot["seq"], snapshot["data"]) == ("quotes.a", 3, 2)
    assert snapshot["snapshot"] is True
    assert end["event"] == "snapshot_end"
    assert "cursor" in end, "a lossless feed is among the grants"
    grants = {grant["channel"]: grant for grant in subscribed["channels"]}
    assert grants["quotes.#"]["snapshot"] == "latest"
    assert grants["quotes.#"]["interval_ms"] == 20
    assert grants["trades.a"]["delivery"] == "lossless"


@skips_time
async def test_a_snapshot_can_be_declined() -> None:
    """snapshot: false brings snapshot_end and then only what is new."""
    fanout = Fanout()
    fanout.publish("quotes.a")
    client = fanout.client("sse", "fast", "quotes.#", snapshot=False)
    await fanout.settle()
    assert [one["event"] for one in client.events] == ["subscribed", "snapshot_end"]
    assert "cursor" not in client.events[1]
    fanout.publish("quotes.a")
    await fanout.settle()
    assert client.seqs("quotes.a") == [2]


@skips_time
async def test_a_late_or_foreign_cursor_is_refused() -> None:
    """A cursor goes with the first lossless subscribe; text that is none is named."""
    fanout = Fanout()
    client = fanout.client("json", "fast", "trades.a")
    for cursor, code in ((client.cursor, "late_cursor"), ("nonsense", "bad_cursor")):
        with pytest.raises(Refusal) as refusal:
            client.subscribe("book.x", cursor=cursor)
        assert refusal.value.code == code
    await fanout.settle()
    fanout.publish("book.x")
    await fanout.settle()
    assert not client.seqs("book.x"), "a refused request grants nothing"


@skips_time
async def test_what_cannot_be_granted_is_refused_alone() -> None:
    """The rest of the request is granted; with nothing granted nothing is sent."""
    fanout = Fanout()
    client = fanout.client("json")
    granted = client.subscribe("trades.a", "nobody.here", "bad..name")
    assert granted.fields is not None
    assert [refusal.code for refusal in granted.refusals] == ["no_feed", "bad_channel"]
    silent = fanout.client("json")
    assert silent.subscribe("nobody.here").fields is None
    assert not silent.events


@skips_time
async def test_a_cursor_of_a_lost_history_gets_reset_and_a_fresh_start() -> None:
    """Per feed, all or nothing; the other feed goes on exactly."""
    fanout = Fanout([
        FeedSpec("trades", ("trades.#",), Delivery.LOSSLESS, history_bytes_max=5 * OVERHEAD_BYTES),
        FeedSpec("book", ("book.#",), Delivery.LOSSLESS),
    ])  # fmt: skip
    client = fanout.client("sse", "fast", "trades.#", "book.#")
    fanout.publish("trades.a")
    fanout.publish("book.x")
    await fanout.settle()
    cursor = client.cursor
    client.leave()
    for _ in range(20):
        fanout.publish("trades.a")
    missed = fanout.publish("book.x")
    again = fanout.client("sse")
    again.subscribe("trades.#", "book.#", cursor=cursor)
    new = fanout.publish("trades.a")
    await fanout.settle()
    assert [one["feed"] for one in again.named("reset")] == ["trades"]
    assert again.seqs("trades.a") == [new]
    assert again.seqs("book.x") == [missed]
    recovered = {one["channel"]: one["recovered"] for one in again.events[0]["channels"]}
    assert recovered == {"trades.#": False, "book.#": True}
    third = fanout.client("sse")
    third.subscribe("trades.#", "book.#", cursor=again.named("reset")[0]["cursor"])
    await fanout.settle()
    assert third.seqs("trades.a") == [new], "the reset's cursor is a valid place"
    assert third.seqs("book.x") == [missed], "and before what the other feed has missed"


@skips_time
async def test_a_full_state_dies_with_its_stream() -> None:
    """Who comes after a reset is told that there is no snapshot, and gets no old book."""
    fanout = Fanout()
    fanout.publish("book.x", "all of it", type="snapshot")
    fanout.publish("book.x", "a change")
    before = fanout.client("json", "fast", "book.x")
    assert before.events[0]["channels"][0]["snapshot"] == "state"
    assert [one["data"] for one in before.named("update")] == ["all of it", "a change"]
    fanout.reset("book")
    after = fanout.client("json", "fast", "book.x")
    await fanout.settle()
    assert after.events[0]["channels"][0]["snapshot"] == "none"
    assert not after.named("update")


@skips_time
async def test_a_channel_that_is_read_already_gets_no_second_state() -> None:
    """Its changes have come: the state behind them would go back in time. Others get theirs."""
    fanout = Fanout()
    for name in ("book.x", "book.y"):
        fanout.publish(name, "all of it", type="snapshot")
    client = fanout.client("json", "fast", "book.x")
    fanout.publish("book.x", "a change")
    await fanout.settle()
    for texts in (["book.#", "book.x"], ["book.x"], ["book.#"]):
        client.subscribe(*texts)
    await fanout.settle()
    came = [(one["channel"], one["data"]) for one in client.named("update")]
    assert came == [("book.x", "all of it"), ("book.x", "a change"), ("book.y", "all of it")]
    told = [
        (one["channel"], one["snapshot"])
        for answer in client.named("subscribed")
        for one in answer["channels"]
    ]
    assert told == [
        ("book.x", "state"), ("book.#", "state"), ("book.x", "none"), ("book.x", "none"),
        ("book.#", "none"),
    ]  # fmt: skip


@skips_time
async def test_only_the_last_reset_of_an_answer_has_the_cursor() -> None:
    """Whoever were cut behind an earlier one would come back and not hear of the last."""
    fanout = Fanout()
    fanout.publish("trades.a")
    fanout.publish("book.x")
    cursor = fanout.client("sse", "fast", "trades.#", "book.#").cursor
    for feed in ("trades", "book"):
        fanout.reset(feed)
    client = fanout.client("sse", "fast", "trades.#", "book.#", cursor=cursor)
    resets = client.named("reset")
    assert [(one["feed"], "cursor" in one) for one in resets] == [("book", False), ("trades", True)]


@skips_time
async def test_the_resets_of_an_answer_come_by_the_names_of_their_feeds() -> None:
    """Whatever the cursor says of each: the same answer to the same request, in each process."""
    names = "hgfedcba"
    fanout = Fanout([FeedSpec(name, (f"{name}.#",), Delivery.LOSSLESS) for name in names])
    lost = "".join(f"~{name}.1.{'A' * 11}" for name in "cg")
    client = fanout.client("sse", "fast", "#", cursor=f"1{lost}~removed.1.{'A' * 11}")
    told = [(one["feed"], one["reason"]) for one in client.named("reset")]
    assert told == [
        (name, "history_lost" if name in "cg" else "unknown_feed") for name in sorted(names)
    ]


@skips_time
async def test_a_reset_that_waits_has_a_cursor_of_when_it_is_sent() -> None:
    """The stream is lost once more meanwhile: a cursor of then would be of the old one."""
    fanout = Fanout()
    fanout.publish("trades.a")
    cursor = fanout.client("sse", "fast", "trades.a").cursor
    fanout.reset("trades")
    fanout.publish("trades.a", "of another stream")
    client = fanout.client("sse", "stalled")
    client.subscribe("quotes.a")
    client.subscribe("trades.a", cursor=cursor)
    fanout.reset("trades")
    new = fanout.publish("trades.a")
    client.pipe.become("fast")
    await fanout.settle()
    told = [one["event"] for one in client.events if one["event"] != "snapshot_end"]
    assert told == ["subscribed", "reset", "subscribed", "reset", "update"]
    again = fanout.client("sse", "fast", "trades.a", cursor=client.named("reset")[-1]["cursor"])
    await fanout.settle()
    assert again.seqs("trades.a") == [new]
    assert not again.named("reset")


@skips_time
async def test_no_cursor_comes_before_the_resets_of_an_answer_that_waits() -> None:
    """Neither behind an earlier answer nor with the reset of another feed."""
    fanout = Fanout()
    fanout.publish("trades.a")
    cursor = fanout.client("sse", "fast", "trades.a").cursor
    fanout.reset("trades")
    client = fanout.client("sse", "stalled")
    client.subscribe("quotes.a")
    client.subscribe("quotes.b")
    client.subscribe("trades.a", "book.x", cursor=cursor)
    fanout.reset("book")
    assert client.subscriber.cursor is None, "closing has none either"
    client.pipe.become("fast")
    await fanout.settle()
    at = [one["event"] == "reset" and one["feed"] == "trades" for one in client.events].index(True)
    assert client.events[at]["cursor"]
    assert not [one for one in client.events[:at] if "cursor" in one]


@skips_time
async def test_who_is_too_slow_to_add_a_channel_comes_back_and_gets_its_state() -> None:
    """It is closed without a cursor: one of then would be behind the state that it never got."""
    fanout = Fanout([
        FeedSpec("trades", ("trades.#",), Delivery.LOSSLESS, queue_updates_max=2),
        FeedSpec("book", ("book.#",), Delivery.LOSSLESS, queue_updates_max=2),
    ])  # fmt: skip
    fanout.publish("book.x", "all of it", type="snapshot")
    client = fanout.client("json", "fast", "trades.a")
    for _ in range(3):
        fanout.publish("trades.a")
    client.subscribe("book.x")
    await fanout.settle()
    assert client.reason is closing.SLOW
    again = fanout.client("json", "fast", "trades.a", "book.x", cursor=client.cursor)
    await fanout.settle()
    assert [one["data"] for one in again.named("update")] == ["all of it", 1, 1, 1]


@skips_time
async def test_who_asks_too_much_at_once_comes_back_and_gets_its_state() -> None:
    """As above, where too many answers wait."""
    fanout = Fanout()
    fanout.publish("book.x", "all of it", type="snapshot")
    client = fanout.client("json", "stalled", "trades.a")
    for _ in range(OPENINGS_MAX):
        client.subscribe("trades.a")
    client.subscribe("book.x")
    client.pipe.become("fast")
    await fanout.settle()
    assert client.reason is closing.STALLED
    again = fanout.client("json", "fast", "trades.a", "book.x", cursor=client.cursor)
    assert [one["data"] for one in again.named("update")] == ["all of it"]
