"""Properties that are wrong on purpose: the feed goes on, and what is wrong has a name."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiormq
import pytest
from pamqp.commands import Basic

from loadtest.rig.waiting import until
from tests.support import amqp
from tests.support.broker import CONFLATED, LOSSLESS, Recorder, running, source
from tickfan.broker.amqp import AmqpBroker

if TYPE_CHECKING:
    from tests.conftest import Rabbit
    from tickfan.core.spec import Delivery as Policy


MS = 1_763_596_800_123
MOMENT = datetime(2025, 11, 20, tzinfo=UTC)
HEADERS: list[tuple[dict[str, Any], int | None, str | None]] = [
    ({"ts": MS}, MS, None),
    ({"ts": str(MS)}, MS, None),
    ({"ts": "2025-11-20T00:00:00.123Z"}, MS, None),
    ({"ts": MS // 1000}, MS - 123, None),
    ({"ts": MS * 1000}, MS, None),
    ({"ts": MS * 10**6}, MS, None),
    ({"ts": MOMENT}, MS - 123, None),
    ({"ts": 0}, None, None),
    ({"ts": None}, None, None),
    ({"ts": "yesterday"}, None, "bad_ts"),
    ({"ts": True}, None, "bad_ts"),
    ({"ts": -5}, None, "bad_ts"),
    ({"ts": MS / 1000}, None, "bad_ts"),  # this library's floats have 32 bits
    ({"ts": bytearray(b"\xff\xfe"), "x-stream-offset": 2**40}, None, "bad_ts"),
    ({"x-stream-offset": "nonsense"}, None, None),
]
"""Headers, the time that they mean, and the reason for which the message is refused."""
BATCHES: list[tuple[Any, bool, str | None]] = [
    (True, True, None),
    ("true", True, None),
    (1, True, None),
    (False, False, None),
    ("0", False, None),
    (None, False, None),
    ("yes", False, "bad_batch"),
    (2, False, "bad_batch"),
]
"""The header ``batch``, what it means, and the reason for which the message is refused."""


@pytest.mark.parametrize("policy", [CONFLATED, LOSSLESS])
async def test_headers_of_every_type(rabbitmq: Rabbit, policy: Policy) -> None:
    """Each is taken as it is meant, or refused by name, whether by a queue or by a stream."""
    cases = [(Basic.Properties(headers=headers), ts, False, why) for headers, ts, why in HEADERS]
    cases += [
        (Basic.Properties(timestamp=MOMENT), MS - 123, False, None),
        (Basic.Properties(timestamp=MOMENT, headers={"ts": "nonsense"}), None, False, "bad_ts"),
        (Basic.Properties(timestamp=MOMENT, headers={"ts": MS}), MS, False, None),
        (Basic.Properties(timestamp=datetime.fromtimestamp(0, UTC)), None, False, None),
    ]
    cases += [
        (Basic.Properties(headers={"batch": given, "ts": MS}), None if why else MS, batch, why)
        for given, batch, why in BATCHES
    ]
    feed, sink = source(policy, prefetch=4), Recorder()
    name = feed.spec.name
    async with running(AmqpBroker([feed], sink, amqp.options(rabbitmq.url))):
        await until(lambda: sink.is_live(name))
        connection = await aiormq.connect(rabbitmq.url)
        channel = await connection.channel()
        for properties, *_ in cases:
            await channel.basic_publish(
                b"1", exchange=feed.exchange, routing_key=f"{name}.a", properties=properties
            )
        await connection.close()
        await until(lambda: len(sink.deliveries) == len(cases))
    for (properties, *expected), read in zip(cases, sink.deliveries, strict=True):
        assert [read.ts, read.batch, read.wrong] == expected, properties.headers
    assert len(sink.states) == 1


def far_future() -> bytes:
    """Properties with a time stamp in microseconds: a year that no library can name."""
    flags = 0x8000 | 0x0040  # content_type, timestamp
    return struct.pack(">H", flags) + b"\x04text" + struct.pack(">Q", 1_700_000_000_000_000_000)


async def publish_raw(
    url: str, exchange: str, routing_key: bytes, header: bytes, body: bytes
) -> None:
    """Publish frames as they are, past the library's encoders."""
    connection = await aiormq.connect(url)
    channel = await connection.channel(publisher_confirms=False)
    publish = struct.pack(">HHH", 60, 40, 0)
    publish += bytes([len(exchange)]) + exchange.encode()
    publish += bytes([len(routing_key)]) + routing_key + b"\x00"
    head = struct.pack(">HHQ", 60, 0, len(body)) + header
    payload = b""
    for kind, content in ((1, publish), (2, head), (3, body)):
        payload += struct.pack(">BHI", kind, channel.number, len(content)) + content + b"\xce"
    await connection.write_queue.put(aiormq.abc.ChannelFrame(payload, should_close=False))
    # An answer to a later question proves that the broker has read it.
    await channel.basic_qos(prefetch_count=1)
    await connection.close()


@pytest.mark.parametrize("policy", [CONFLATED, LOSSLESS])
@pytest.mark.parametrize("wrong", ["timestamp", "routing_key"])
async def test_undecodable(rabbitmq: Rabbit, policy: Policy, wrong: str) -> None:
    """What would end the library's connection is one message with less to say, no outage."""
    feed, sink = source(policy), Recorder()
    name = feed.spec.name
    options = amqp.options(rabbitmq.url, backoff_first_s=0.05)
    broker = AmqpBroker([feed], sink, options)
    key, header = f"{name}.a".encode(), struct.pack(">H", 0)
    if wrong == "timestamp":
        header = far_future()
    else:
        key += b"\xe9\xff"
    async with running(broker):
        await until(lambda: sink.is_live(name))
        await publish_raw(rabbitmq.url, feed.exchange, f"{name}.a".encode(), b"\0\0", b"before")
        await until(lambda: sink.bodies(name) == [b"before"])
        await publish_raw(rabbitmq.url, feed.exchange, key, header, b"poison")
        await until(lambda: sink.bodies(name) == [b"before", b"poison"])
        assert sink.deliveries[1].ts is None
        assert sink.deliveries[1].wrong == (None if wrong == "routing_key" else "bad_ts")
        assert sink.deliveries[1].routing_key.startswith(f"{name}.a")
        await publish_raw(rabbitmq.url, feed.exchange, f"{name}.a".encode(), b"\0\0", b"after")
        await until(lambda: sink.bodies(name)[-1] == b"after")
    assert len(sink.states) == 1
    assert sink.resets == []
