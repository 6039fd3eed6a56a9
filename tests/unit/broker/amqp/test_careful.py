"""Frames made decodable: what is kept of them, and that good ones are not touched."""

from __future__ import annotations

import asyncio
import struct
from datetime import UTC, datetime

import pamqp.frame
import pytest
from aiormq.exceptions import AMQPConnectionError, InvalidFrameError
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands
from pamqp.body import ContentBody
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from service.broker.amqp.careful import CarefulReader, is_undecodable, mended

GOOD = [
    pamqp.frame.marshal(ContentHeader(body_size=3), 1),
    pamqp.frame.marshal(
        ContentHeader(
            body_size=3,
            properties=commands.Basic.Properties(
                message_id="x", timestamp=datetime(2026, 1, 1, tzinfo=UTC), headers={"ts": 1}
            ),
        ),
        7,
    ),
    pamqp.frame.marshal(commands.Basic.Deliver("c", 1, False, "x", "a.b"), 1),
    pamqp.frame.marshal(ContentBody(b"\x01\xce\x02"), 1),
    pamqp.frame.marshal(Heartbeat(), 0),
]


def raw(kind: int, payload: bytes, channel: int = 5) -> bytes:
    """A frame of any content."""
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


@pytest.mark.parametrize("frame", GOOD)
def test_good_frames_stay(frame: bytes) -> None:
    """A frame that can be decoded comes back as it is."""
    assert mended(frame) == frame


def test_header_keeps_offset_and_size() -> None:
    """Of an undecodable header the body's size and the stream's offset are left."""
    table = b"\x0fx-stream-offsetl" + struct.pack(">q", 12_345)
    header = struct.pack(">HHQH", 60, 0, 99, 0x2000 | 0x0040)  # headers, timestamp
    header += struct.pack(">I", len(table)) + table + struct.pack(">Q", 2**62)
    _, channel, frame = pamqp.frame.unmarshal(mended(raw(2, header)))
    assert isinstance(frame, ContentHeader)
    assert (channel, frame.body_size) == (5, 99)
    assert frame.properties.headers == {"x-stream-offset": 12_345}
    assert frame.properties.timestamp is None


def test_routing_key_is_made_ascii() -> None:
    """Bytes that are not text become question marks; the rest of the delivery stays."""
    deliver = struct.pack(">HH", 60, 60) + b"\x04ctag" + struct.pack(">QB", 77, 0)
    deliver += b"\x06prices" + b"\x07q.caf\xe9\xff"
    _, channel, frame = pamqp.frame.unmarshal(mended(raw(1, deliver)))
    assert isinstance(frame, commands.Basic.Deliver)
    assert (channel, frame.consumer_tag, frame.delivery_tag) == (5, "ctag", 77)
    assert (frame.exchange, frame.routing_key) == ("prices", "q.caf??")


@given(st.lists(st.sampled_from(GOOD), max_size=8), st.data())
def test_reader_passes_everything_on(frames: list[bytes], data: st.DataObject) -> None:
    """The reader hands on the same bytes, however they come in."""

    async def check() -> None:
        source = asyncio.StreamReader()
        stream = b"".join(frames)
        cut = data.draw(st.integers(0, len(stream)))
        source.feed_data(stream[:cut])
        source.feed_data(stream[cut:])
        source.feed_eof()
        reader, got = CarefulReader(source), b""
        while not reader.at_eof():
            head = await reader.readexactly(1) + await reader.readexactly(6)
            (size,) = struct.unpack(">I", head[3:])
            got += head + await reader.readexactly(size + 1)
        assert got == stream

    asyncio.run(check())


def test_which_errors_call_for_care() -> None:
    """Only what a frame's content causes does; a cut connection does not."""
    assert is_undecodable(InvalidFrameError("x"))
    assert is_undecodable(OverflowError())
    assert is_undecodable(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"))
    assert not is_undecodable(AMQPConnectionError("x"))
    assert not is_undecodable(OSError())
    assert not is_undecodable(None)
