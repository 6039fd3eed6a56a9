"""tickfan.broker.amqp.incoming, on a socket: a broker that breaks the protocol."""

from __future__ import annotations

import logging
import struct
from typing import TYPE_CHECKING

import pytest

from loadtest.rig.waiting import until
from tests.support import amqp
from tests.support.broker import CONFLATED, Recorder, running, source
from tests.support.fakebroker import fake_broker
from tickfan.broker.amqp import AmqpBroker
from tickfan.core.feed import Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator


def frame(kind: int, channel: int, payload: bytes, end: bytes = b"\xce") -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + end


@pytest.fixture
def no_library_log() -> Iterator[None]:
    """As the service has it: the library's own lines are not shown."""
    logger = logging.getLogger("aiormq")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


@pytest.mark.parametrize(
    ("kind", "payload", "end", "word"),
    [
        (1, b"\x00\x3c\x00\x3c\xffc", b"\xce", "frames are broken"),  # a tag past its frame
        (3, b"AAAA", b"\xce", "a body comes before its header"),
        (1, b"\x00\x3c\xff\xff", b"\xce", "127.0.0.1"),  # no such method: for the library
        (1, b"\x00\x3c", b"\xce", "127.0.0.1"),
        (1, b"\x00\x0a\x00\x32\x01", b"\x00", "127.0.0.1"),  # no end
        (9, b"", b"\xce", "127.0.0.1"),  # no such kind
    ],
)
async def test_it_is_named_and_the_feed_comes_back(
    no_library_log: None, kind: int, payload: bytes, end: bytes, word: str
) -> None:
    """A new connection, and messages over it; the state says what was wrong."""
    feed, sink = source(CONFLATED), Recorder()
    name = feed.spec.name
    async with fake_broker() as peer:
        broker = AmqpBroker([feed], sink, amqp.options(f"amqp://guest:guest@127.0.0.1:{peer.port}"))
        async with running(broker):
            await until(lambda: sink.is_live(name))
            writer, channel = peer.consumers[0]
            writer.write(frame(kind, channel, payload, end))
            await until(lambda: sink.state(name) is Upstream.STALE)
            assert word in sink.why(name)
            await until(lambda: sink.is_live(name))
            assert peer.connections == 2
            writer, channel = peer.consumers[-1]
            key = name.encode() + b".a"
            delivery = struct.pack(">HHBsQBB", 60, 60, 1, b"c", 1, 0, 0) + bytes([len(key)]) + key
            writer.write(
                frame(1, channel, delivery)
                + frame(2, channel, struct.pack(">HHQH", 60, 0, 4, 0))
                + frame(3, channel, b"good")
            )
            await until(lambda: sink.bodies(name) == [b"good"])
