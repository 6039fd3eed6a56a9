"""Poison of every kind through a real RabbitMQ: counted, told, and harmless to who is beside it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import aiormq
import msgpack
import orjson
import pytest
from pamqp.commands import Basic

from loadtest.rig.waiting import until
from tests.integration.test_amqp_poison import far_future, publish_raw

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fixtures import MakeLive

JSON, MSGPACK = "application/json", "application/msgpack"
BATCH = {"headers": {"batch": True}}
SCHEMA = {"type": "object", "properties": {"price": {"type": "string"}}}


class Sent(NamedTuple):
    """A message, why it is refused, and its properties."""

    why: str
    body: bytes
    kind: str = JSON
    properties: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it


def _batch(*entries: Any) -> bytes:
    return orjson.dumps(list(entries))


POISON = [
    # Bodies.
    Sent("bad_json", b""),
    Sent("bad_msgpack", b"", MSGPACK),
    Sent("bad_json", b"\xff" * 2**20),
    Sent("too_large", b" " * (2**20 + 1)),
    Sent("bad_json", b'{"price": '),
    Sent("bad_json", b'{"price": NaN}'),
    Sent("bad_json", b'"\xed\xa0\x80"'),
    Sent("bad_json", b'"\\ud800"'),
    Sent("bad_json", orjson.dumps({"price": "1"}) + b"{}"),
    Sent("bad_json", b"1" + b"0" * 400),
    Sent("bad_number", b"[0." + b"123456789" * 100_000 + b"]"),
    Sent("bad_number", msgpack.packb(float("nan")), MSGPACK),
    Sent("bad_number", msgpack.packb([float("-inf")]), MSGPACK),
    Sent("bad_number", msgpack.packb(2**63), MSGPACK),
    Sent("bad_key", b'{"__proto__": {"price": "1"}}'),
    Sent("bad_key", msgpack.packb({1: 2}), MSGPACK),
    Sent("bad_key", msgpack.packb({b"a": 2}), MSGPACK),
    Sent("bad_value", msgpack.packb([b"binary"]), MSGPACK),
    Sent("bad_value", msgpack.packb(msgpack.ExtType(4, b"x")), MSGPACK),
    Sent("bad_msgpack", b"\xc1", MSGPACK),
    Sent("bad_msgpack", b"\xd9\x02\xff\xfe", MSGPACK),
    # Depth, and lengths that are not there.
    Sent("too_deep", b"[" * 65 + b"]" * 65),
    Sent("bad_json", b"[" * 2**20),
    Sent("bad_json", b'{"a":' * 100_000),
    Sent("too_deep", b"\x91" * 65 + b"\x01", MSGPACK),
    Sent("bad_msgpack", b"\x91" * 2**20, MSGPACK),
    Sent("bad_msgpack", b"\xdd\xff\xff\xff\xff" * 100, MSGPACK),
    Sent("bad_msgpack", b"\xdd\x00\x0f\xff\xff" * 200_000, MSGPACK),
    Sent("bad_msgpack", b"\xdf\xff\xff\xff\xff", MSGPACK),
    Sent("bad_msgpack", b"\xdb\xff\xff\xff\xffa", MSGPACK),
    Sent("bad_msgpack", b"\xc9\xff\xff\xff\xff\x01a", MSGPACK),
    # What goes with them.
    Sent("bad_content_type", b"1", "text/html"),
    Sent("bad_content_type", b"1", "\0"),
    Sent("bad_json", b"\x1f\x8b\x08\0\0", JSON, {"content_encoding": "gzip"}),
    Sent("bad_type", b"1", JSON, {"message_type": "closing"}),
    Sent("bad_type", b"1", JSON, {"message_type": "a\r\ndata: b"}),
    Sent("bad_ts", b"1", JSON, {"headers": {"ts": "\0"}}),
    Sent("bad_ts", b"1", JSON, {"headers": {"ts": -(2**63)}}),
    Sent("bad_ts", b"1", JSON, {"headers": {"ts": True}}),
    Sent("bad_batch", b"[]", JSON, {"headers": {"batch": "maybe"}}),
    Sent("bad_batch", b"{}", JSON, BATCH),
    Sent("bad_batch", b"[" + b"0," * 2000 + b"0]", JSON, BATCH),
    # Entries of a batch, each alone.
    Sent("bad_batch", _batch({"data": 1}), JSON, BATCH),
    Sent("bad_batch", _batch(5), JSON, BATCH),
    Sent("bad_channel", _batch({"channel": "a\r\nb", "data": 1}), JSON, BATCH),
    Sent("bad_channel", _batch({"channel": 1, "data": 1}), JSON, BATCH),
    Sent("wrong_feed", _batch({"channel": "else.a", "data": {}}), JSON, BATCH),
    # The schema of the feed.
    Sent("bad_schema", b'{"price": 1.5}'),
    Sent("bad_schema", msgpack.packb([1]), MSGPACK),
]  # fmt: skip


@pytest.mark.parametrize("delivery", ["lossless", "conflated"])
async def test_poison_of_every_kind(
    make_live: MakeLive, amqp: dict[str, str], tmp_path: Path, delivery: str
) -> None:
    """Each is counted by its reason, and the feed goes on: who reads beside it misses nothing.

    On a lossless channel each is a gap in the chain. No message of it comes again.
    """
    schema = tmp_path / "schema.json"
    schema.write_bytes(orjson.dumps(SCHEMA))
    feed = {"name": "f", "bind": ["f.#"], "delivery": delivery, "schema_file": str(schema)}
    own = {"interval_ms": 10} if delivery == "conflated" else {}
    settings = {"FEEDS": orjson.dumps([{**feed, **own}]).decode(), "STREAM__INTERVALS_MS": "[10]"}
    live = await make_live(**amqp, **settings)
    await until(lambda: not live.service.feeds.is_starting)
    tally = live.service.tally
    expected = Counter(sent.why for sent in POISON)
    connection = await aiormq.connect(amqp["BROKER__URL"])
    channel = await connection.channel()

    async def publish(name: str, sent: Sent) -> None:
        properties = Basic.Properties(content_type=sent.kind, **sent.properties)
        await channel.basic_publish(
            sent.body, exchange=amqp["BROKER__EXCHANGE"], routing_key=name, properties=properties
        )

    async with live.ws() as healthy, live.sse("channels=f.poison") as beside:
        await healthy.say(op="subscribe", channels=["f.good"])
        await healthy.read_until("snapshot_end")
        await beside.read_until("snapshot_end")
        for number, sent in enumerate(POISON):
            await publish("f.poison", sent)
            await publish("f.good", Sent("", b'{"n": %d}' % number))
            assert (await healthy.updates(1))[0]["data"] == {"n": number}
        # A routing key and properties that no library writes.
        exchange = amqp["BROKER__EXCHANGE"]
        await publish_raw(amqp["BROKER__URL"], exchange, b"f.poison", far_future(), b"1")
        await publish_raw(amqp["BROKER__URL"], exchange, b"f.\xff\xfe", b"\0\0", b"{}")
        await publish("f.poison", Sent("", b'{"price": "1"}'))
        expected.update(["bad_ts", "bad_channel"])
        told = [event async for event in _up_to_update(beside)]
        await publish("f.good", Sent("", b'{"n": -1}'))
        assert (await healthy.updates(1))[0]["data"] == {"n": -1}
    await connection.close()
    assert Counter({why: count for (_, why), count in tally.poison.items()}) == expected
    assert tally.feed_changes["f", "live"] == 1, "the connection went on"
    assert not tally.resets
    if delivery == "lossless":
        gaps = Counter(event["reason"] for event in told if event["event"] == "gap")
        assert gaps == expected - Counter(["bad_channel"]), "that one has no channel"
        chain = [(event["seq"], event["prev"]) for event in told]
        assert [prev for _, prev in chain[1:]] == [seq for seq, _ in chain[:-1]]


async def _up_to_update(events: Any) -> Any:
    """All events up to the first update, which is the last of them."""
    while True:
        event = await events.next()
        if event["event"] in ("gap", "update"):
            yield event
        if event["event"] == "update":
            return
