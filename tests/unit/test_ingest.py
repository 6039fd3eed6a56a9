"""tickfan.ingest: deliveries become updates, gaps and counts; nothing else gets out."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgpack
import orjson
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fanout import FEEDS, Fanout, skips_time
from tickfan.broker.base import Received
from tickfan.clock import now_ms
from tickfan.core.errors import Poison
from tickfan.core.feed import Upstream
from tickfan.core.spec import Delivery, FeedSpec
from tickfan.ingest import FUTURE_MS, SAMPLE_S, SOURCES_MAX
from tickfan.wire.inbound import footprint, weigh
from tickfan.wire.schema import Schema

TS = 1_763_596_800_000
POISON: dict[str, dict[str, Any]] = {
    "bad_json": {"body": b"{"},
    "bad_msgpack": {"body": b"\xc1", "content_type": "application/msgpack"},
    "bad_content_type": {"body": b"1", "content_type": "text/html"},
    "bad_type": {"body": b"1", "type": "reset"},
    "bad_key": {"body": b'{"__proto__": 1}'},
    "bad_number": {"body": b"9007199254740993"},
    "too_deep": {"body": b"[" * 70 + b"]" * 70},
    "too_large": {"body": b"1" * (2**20 + 1)},
    "bad_batch": {"body": b"{}", "batch": True},
    "bad_ts": {"body": b"1", "wrong": Poison("bad_ts", "no time")},
}  # fmt: skip


@pytest.mark.parametrize("reason", sorted(POISON))
@skips_time
async def test_poison_on_a_lossless_channel_is_a_gap_in_its_chain(reason: str) -> None:
    """Counted by reason; its seq and prev keep the chain unbroken, also over a resume."""
    fanout = Fanout()
    client = fanout.client("sse", "fast", "trades.a")
    first = fanout.publish("trades.a")
    await fanout.settle()
    cursor = client.cursor
    gap = fanout.deliver("trades.a", **POISON[reason])
    last = fanout.publish("trades.a")
    await fanout.settle()
    tally = fanout.tally
    assert tally.poison == {("trades", reason): 1}
    assert tally.gaps["trades"] == 1
    again = fanout.client("json")
    again.subscribe("trades.a", cursor=cursor)
    await fanout.settle()
    for events in (client.events[3:], again.events[2:]):
        chain = [(one["event"], one["seq"], one["prev"]) for one in events]
        assert chain == [("gap", gap, first), ("update", last, gap)]
        assert events[0]["reason"] == reason
    held = fanout.feeds.channel("trades.a")
    assert held is not None
    assert held.latest is not None
    assert held.latest.seq == last, "a gap is nobody's latest value"


@pytest.mark.parametrize("reason", sorted(POISON))
@skips_time
async def test_poison_on_a_conflated_channel_is_only_counted(reason: str) -> None:
    """The value before it stands."""
    fanout = Fanout()
    client = fanout.client("sse", "fast", "quotes.a")
    fanout.publish("quotes.a", "good")
    fanout.deliver("quotes.a", **POISON[reason])
    await fanout.settle()
    assert sum(fanout.tally.poison.values()) == 1
    assert not client.named("gap")
    assert [one["data"] for one in client.named("update")] == ["good"]


@skips_time
async def test_poison_is_logged_once_in_a_while() -> None:
    """One line of each feed, reason and channel in so many seconds, with what and where."""
    fanout = Fanout()
    with structlog.testing.capture_logs() as lines:
        for _ in range(50):
            fanout.deliver("trades.a", b"{")
            fanout.deliver("quotes.a", b"{")
            fanout.deliver("quotes.a", b"1", type="reset")
    assert [(line["feed"], line["reason"]) for line in lines] == [
        ("trades", "bad_json"), ("quotes", "bad_json"), ("quotes", "bad_type"),
    ]  # fmt: skip
    assert lines[0]["channel"] == "trades.a"
    assert fanout.tally.poison["quotes", "bad_json"] == 50
    await asyncio.sleep(SAMPLE_S)
    with structlog.testing.capture_logs() as lines:
        fanout.deliver("trades.a", b"{")
    assert [(line["channel"], line["so_far"]) for line in lines] == [("trades.a", 51)]


@skips_time
async def test_each_source_of_poison_is_named() -> None:
    """A second publisher's, too, also out of a batch; only so many, and the last says so."""
    fanout = Fanout()
    names = [f"trades.{number}" for number in range(SOURCES_MAX + 5)]
    batch: list[Any] = [{"channel": name, "data": 2**60} for name in names[3:]]
    for _ in range(2):
        with structlog.testing.capture_logs() as lines:
            for name in names[:3] * 10:
                fanout.deliver(name, b"9007199254740993")
            fanout.deliver("trades.x", orjson.dumps(batch), batch=True)
        assert [line["channel"] for line in lines] == names[:SOURCES_MAX]
        assert [line["more_are_not_named"] for line in lines].index(True) == SOURCES_MAX - 1
        await asyncio.sleep(SAMPLE_S)
    assert fanout.tally.poison["trades", "bad_number"] == 2 * (30 + len(batch))


@skips_time
async def test_what_is_of_no_feed_is_told_how_to_be() -> None:
    """Who writes to a stream by its own protocol sends the stream's name as the routing key."""
    fanout = Fanout()
    with structlog.testing.capture_logs() as lines:
        fanout.ingest.deliver("trades", Received("tickfan.trades", b"1", offset=0), "A" * 11)
    assert lines[0]["reason"] == "wrong_feed"
    assert "'tickfan.trades' is not of feed 'trades' (trades.#)" in lines[0]["detail"]
    assert "x-routing-key" in lines[0]["detail"]


@skips_time
async def test_a_compressed_body_is_told_so() -> None:
    """By the name that its publisher gave it."""
    fanout = Fanout()
    with structlog.testing.capture_logs() as lines:
        fanout.deliver("trades.a", b"\x1b\x02\x00", content_encoding="br")
    assert "content_encoding is 'br'" in lines[0]["detail"]


@skips_time
async def test_a_batch_that_is_partly_bad_yields_its_good_parts() -> None:
    """In order, seq by place in the message, a gap for each bad one."""
    fanout = Fanout()
    client = fanout.client("json", "fast", "trades.#")
    entries: list[Any] = [
        {"channel": "trades.a", "data": 1},
        {"channel": "trades.a", "data": 2, "ts": -1},
        "nonsense",
        {"channel": "quotes.a", "data": 3},
        {"channel": "trades.b", "data": 4},
        {"channel": "trades.a", "data": 5},
    ]
    fanout.publish("trades.a", "first")
    base = fanout.publish("trades.a", entries, batch=True)
    await fanout.settle()
    chain = [(one["event"], one["channel"], one["seq"] - base, one["prev"])
             for one in client.events if "prev" in one]  # fmt: skip
    assert chain == [
        ("update", "trades.a", -1024, None),
        ("update", "trades.a", 0, 0),
        ("gap", "trades.a", 1, base),
        # What names no channel of this feed is told on the routing key's.
        ("gap", "trades.a", 2, base + 1),
        ("gap", "trades.a", 3, base + 2),
        ("update", "trades.b", 4, None),
        ("update", "trades.a", 5, base + 3),
    ]
    assert fanout.tally.poison == {
        ("trades", "bad_ts"): 1, ("trades", "bad_batch"): 1, ("trades", "wrong_feed"): 1,
    }  # fmt: skip
    assert fanout.feeds.channel("quotes.a") is None


@skips_time
async def test_the_middle_of_a_batch_is_a_place_to_resume() -> None:
    """All updates of a message share its fingerprint; the cursor says which."""
    fanout = Fanout()
    client = fanout.client("sse", "fast", "trades.#")
    fanout.publish("trades.a", [{"channel": "trades.a", "data": n} for n in range(5)], batch=True)
    await fanout.settle()
    for index, update in enumerate(client.named("update")):
        again = fanout.client("ndjson")
        again.subscribe("trades.#", cursor=update["cursor"])
        await fanout.settle()
        assert again.seqs("trades.a") == list(range(index + 1, 5))


@skips_time
async def test_a_feed_takes_so_many_channels_and_no_more() -> None:
    """channels_max: counted, no gap, the old channels unharmed; also for poison."""
    fanout = Fanout([
        FeedSpec("trades", ("trades.#",), Delivery.LOSSLESS, channels_max=2),
        FeedSpec("quotes", ("quotes.#",), Delivery.CONFLATED, channels_max=2),
    ])  # fmt: skip
    client = fanout.client("json", "fast", "trades.#", "quotes.#")
    for feed in ("trades", "quotes"):
        for name in "abcda":
            fanout.publish(f"{feed}.{name}")
        fanout.deliver(f"{feed}.e", b"{")
    await fanout.settle()
    assert fanout.tally.poison["trades", "channels_max"] == 3
    assert fanout.tally.poison["quotes", "channels_max"] == 2
    assert {one["channel"] for one in client.named("update")} == {
        "trades.a", "trades.b", "quotes.a", "quotes.b",
    }  # fmt: skip
    assert client.seqs("trades.a") == [0, 4096]
    assert not client.named("gap")


@skips_time
async def test_the_time_is_the_items_then_the_messages_then_ours() -> None:
    """ts precedence, for updates and for gaps."""
    fanout = Fanout()
    client = fanout.client("json", "fast", "trades.#")
    entries = [{"channel": "trades.a", "data": 1, "ts": TS}, {"channel": "trades.a", "data": 2}]
    fanout.publish("trades.a", entries, batch=True, ts=222)
    fanout.publish("trades.a", 3, ts=333)
    fanout.deliver("trades.a", b"{", ts=444)
    before = now_ms()
    fanout.publish("trades.a", 4)
    await fanout.settle()
    times = [one["ts"] for one in client.events if "ts" in one]
    assert times[:4] == [TS, 222, 333, 444]
    assert before <= times[4] <= before + 10_000


@skips_time
async def test_news_of_the_source_goes_to_the_hub() -> None:
    """upstream and reset are the feed's."""
    fanout = Fanout()
    fanout.ingest.upstream("book", Upstream.STALE, "cut")
    assert fanout.feeds["book"].upstream is Upstream.STALE
    assert fanout.feeds["book"].since_ms > 0
    fanout.publish("book.x")
    with structlog.testing.capture_logs() as lines:
        fanout.ingest.reset("book", "truncated")
    assert lines[0]["reason"] == "truncated"
    assert len(fanout.feeds["book"].history) == 0
    assert fanout.tally.resets == {("book", "truncated"): 1}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=10,
)  # fmt: skip
bodies = st.one_of(
    st.binary(max_size=60),
    values.map(lambda value: msgpack.packb(value) if _packs(value) else b"\xc1"),
    values.map(lambda value: orjson.dumps(value) if _dumps(value) else b"NaN"),
    st.lists(st.fixed_dictionaries(
        {"channel": st.sampled_from(["trades.a", "quotes.a", "book.x", "", "x" * 200, "a\n"])},
        optional={"data": values, "ts": values}), max_size=4,
    ).map(lambda value: orjson.dumps(value) if _dumps(value) else b"[]"),
)  # fmt: skip


def _packs(value: Any) -> bool:
    try:
        return bool(msgpack.packb(value))
    except (OverflowError, ValueError, TypeError):
        return False


def _dumps(value: Any) -> bool:
    try:
        return bool(orjson.dumps(value))
    except TypeError:
        return False


@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([spec.name for spec in FEEDS]),
            st.sampled_from(["trades.a", "quotes.a", "book.x", "", "..", "#", "\x00", "é" * 90]),
            bodies,
            st.sampled_from(
                [None, "", "application/json; charset=utf-8", "application/msgpack", "x"]
            ),
            st.sampled_from([None, "update", "snapshot", "done", "error", "A B"]),
            st.booleans(),
        ),
        max_size=8,
    ),
)
@skips_time
async def test_nothing_gets_out_of_deliver(deliveries: list[tuple[Any, ...]]) -> None:
    """Whatever comes is published or counted; every wire can say what was published."""
    fanout = Fanout()
    clients = [fanout.client(wire, "fast", "#") for wire in ("sse", "ndjson", "msgpack", "json")]
    for offset, (feed, key, body, kind, type_, batch) in enumerate(deliveries):
        fanout.ingest.deliver(
            feed,
            Received(key, body, kind, type_, batch=batch, offset=offset),
            random.Random(offset).choice("ab") * 11,
        )
    await fanout.settle()
    tally = fanout.tally
    assert sum(tally.messages_in.values()) == len(deliveries)
    seen = [[(one["event"], one["channel"], one["seq"]) for one in client.events if "seq" in one]
            for client in clients]  # fmt: skip
    assert all(one == seen[0] for one in seen)


@skips_time
async def test_what_is_kept_counts_for_what_it_takes_in_memory() -> None:
    """In the history and in the full states; bad or small entries beside it take nothing off."""
    fanout = Fanout()
    book = {"bids": [[str(n), str(n)] for n in range(500)]}
    held = footprint(orjson.dumps(book))
    batch: list[Any] = [{"channel": "trades.a", "data": book}, *[0] * 200]
    fanout.deliver("trades.a", orjson.dumps(batch), batch=True)
    batch = [{"channel": "book.a", "data": book}, *[{"channel": "book.b", "data": 1}] * 200]
    fanout.deliver("book.a", orjson.dumps(batch), batch=True, type="snapshot")
    trades, books = fanout.feed("trades.a"), fanout.feed("book.a")
    assert held > 3 * weigh(orjson.dumps(book))
    assert trades.history.size > held
    assert books.state_size > held


@skips_time
@pytest.mark.parametrize("packed", [False, True])
async def test_one_update_counts_by_its_json(packed: bool) -> None:
    """Small integers are four times as long there as in MessagePack."""
    fanout = Fanout()
    data = [7] * 2_000
    body = msgpack.packb(data) if packed else orjson.dumps(data)
    kind = "application/msgpack" if packed else "application/json"
    fanout.deliver("trades.a", body, content_type=kind)
    newest = fanout.feed("trades.a").history.newest
    assert newest is not None
    assert newest.size >= weigh(orjson.dumps(data))
    assert newest.held == footprint(orjson.dumps(data))


@skips_time
async def test_the_footprints_in_the_documentation() -> None:
    """docs/reliability.md and config/tickfan.toml: a small trade, a book of twenty levels."""
    fanout = Fanout()
    levels = [[f"{1000 + n}.25", f"{n}.1234"] for n in range(20)]
    history = fanout.feed("trades.a").history
    fanout.publish("trades.a", {"price": "222.57", "size": "8312", "side": "buy", "id": 106_123})
    trade = history.size
    fanout.publish("trades.a", {"bids": levels, "asks": levels})
    assert round(trade, -2) in (1_100, 1_200)
    assert 57_000 <= 2**26 / trade <= 61_000
    assert round(history.size - trade, -3) == 12_000


SCHEMA = Schema(b'{"type": "object", "required": ["price"]}')


@skips_time
async def test_data_that_does_not_fit_the_schema_is_poison() -> None:
    """Alone, or in a batch beside what fits. On a lossless channel it is a gap in the chain."""
    fanout = Fanout(schemas={"trades": SCHEMA})
    client = fanout.client("sse", "fast", "trades.#", "quotes.#")
    first = fanout.publish("trades.a", {"price": 1})
    bad = fanout.publish("trades.a", {"prise": 1})
    parts: list[Any] = [{"price": 2}, 5, {"price": 3}]
    batch = [{"channel": "trades.a", "data": data} for data in parts]
    batch.append({"channel": "trades.b", "data": []})
    then = fanout.publish("trades.a", batch, batch=True)
    fanout.publish("quotes.a", {"prise": 1})
    await fanout.settle()
    chain = [
        (one["event"], one["channel"], one["seq"], one["prev"], one.get("reason"))
        for one in client.events
        if one["event"] in ("update", "gap") and one["channel"] != "quotes.a"
    ]
    assert chain == [
        ("update", "trades.a", first, None, None),
        ("gap", "trades.a", bad, first, "bad_schema"),
        ("update", "trades.a", then, bad, None),
        ("gap", "trades.a", then + 1, then, "bad_schema"),
        ("update", "trades.a", then + 2, then + 1, None),
        ("gap", "trades.b", then + 3, None, "bad_schema"),
    ]
    assert fanout.tally.poison == {("trades", "bad_schema"): 3}
    assert [one["data"] for one in client.named("update")][-1] == {"prise": 1}, "quotes have none"


@skips_time
async def test_what_does_not_fit_is_logged_with_its_path() -> None:
    """And without the value."""
    fanout = Fanout(schemas={"quotes": Schema(b'{"items": {"type": "number"}}')})
    with structlog.testing.capture_logs() as lines:
        fanout.publish("quotes.a", [1, "secret"])
    (line,) = lines
    assert (line["reason"], line["detail"]) == (
        "bad_schema", '/1: the value is not of type "number"',
    )  # fmt: skip


@skips_time
async def test_updates_from_the_future_are_counted_and_count_as_new() -> None:
    """More than a second ahead, by the message's time or an entry's own; no age is below 0."""
    fanout = Fanout()
    fanout.client("sse", "fast", "trades.#", "quotes.#")
    now = fanout.clock.wall_ms()
    for ahead in (-5, 0, FUTURE_MS // 2, FUTURE_MS * 60, FUTURE_MS * 10**6):
        fanout.publish("trades.a", ts=now + ahead)
    entries: list[dict[str, Any]] = [
        {"channel": "quotes.a", "data": 1, "ts": now + 3_600_000},
        {"channel": "quotes.b", "data": 1, "ts": now - 3_600_000},
        {"channel": "quotes.c", "data": 1},
        {"channel": "trades.c", "data": 1, "ts": now + 3_600_000},
    ]
    fanout.publish("quotes.a", entries, batch=True, ts=now + 7_200_000)
    await fanout.settle()
    tally = fanout.tally
    assert tally.from_future == {"trades": 2, "quotes": 2}, "poison is no update"
    ages = [*tally.upstream_lag.values(), tally.lossless_age, tally.conflated_age]
    assert len(ages) == 4
    for histogram in ages:
        assert histogram.total >= 0
        assert sum(histogram.counts) > 0
