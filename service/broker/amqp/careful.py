"""Frames that the AMQP library cannot decode, made decodable.

A publisher can set properties that RabbitMQ passes on and the library refuses
by ending the connection: a ``timestamp`` in microseconds (a year beyond 9999),
a header or a routing key that is not UTF-8. On a stream such a message would
come again after each reconnect, for ever. So after such an end the next
connection reads carefully: what cannot be decoded loses its properties and
keeps its offset, its routing key and its body.

Reading each frame twice costs a third of the throughput, so it is not the
normal way. Must not know what the messages are for.
"""

from __future__ import annotations

import asyncio
import re
import struct

import pamqp.frame
from aiormq.exceptions import AMQPError, InvalidFrameError
from pamqp import commands
from pamqp.header import ContentHeader

_METHOD, _HEADER = 1, 2
_DELIVER = b"\x00\x3c\x00\x3c"  # class 60 (basic), method 60
_STREAM_OFFSET = re.compile(rb"\x0fx-stream-offset[lL](.{8})", re.DOTALL)


def is_undecodable(error: BaseException | None) -> bool:
    """Whether a connection ended with this because of a frame's content."""
    if isinstance(error, InvalidFrameError):
        return True
    return isinstance(error, (ValueError, OverflowError)) and not isinstance(error, AMQPError)


class CarefulReader(asyncio.StreamReader):
    """A reader that hands on whole frames, mended where they must be."""

    def __init__(self, source: asyncio.StreamReader) -> None:
        super().__init__()
        self._source = source
        self._frame = b""

    def at_eof(self) -> bool:
        """Whether nothing more will come."""
        return not self._frame and self._source.at_eof()

    async def read(self, n: int = -1) -> bytes:
        """What is left of the frame at hand; only asked for broken protocols."""
        left, self._frame = self._frame, b""
        return left if n < 0 else left[:n]

    async def readexactly(self, n: int) -> bytes:
        """The next ``n`` bytes, which never cross a frame's end."""
        if not self._frame:
            head = await self._source.readexactly(7)
            size = int.from_bytes(head[3:7], "big")
            self._frame = mended(head + await self._source.readexactly(size + 1))
        taken, self._frame = self._frame[:n], self._frame[n:]
        return taken


def mended(frame: bytes) -> bytes:
    """The frame itself, or one that says what is left of it."""
    kind = frame[0]
    if kind not in (_METHOD, _HEADER):
        return frame
    try:
        pamqp.frame.unmarshal(frame)
    except Exception:  # noqa: BLE001 - whatever the library stumbles over
        channel = int.from_bytes(frame[1:3], "big")
        if kind == _HEADER:
            return pamqp.frame.marshal(_bare_header(frame), channel)
        if frame[7:11] == _DELIVER:
            return pamqp.frame.marshal(_deliver(frame[11:-1]), channel)
    return frame


def _bare_header(frame: bytes) -> ContentHeader:
    (body_size,) = struct.unpack(">Q", frame[11:19])
    match = _STREAM_OFFSET.search(frame)
    headers = {"x-stream-offset": struct.unpack(">q", match[1])[0]} if match else None
    return ContentHeader(body_size=body_size, properties=commands.Basic.Properties(headers=headers))


def _deliver(fields: bytes) -> commands.Basic.Deliver:
    tag, rest = _short_text(fields)
    delivery_tag, redelivered = struct.unpack(">QB", rest[:9])
    exchange, rest = _short_text(rest[9:])
    routing_key, _ = _short_text(rest)
    return commands.Basic.Deliver(tag, delivery_tag, bool(redelivered), exchange, routing_key)


def _short_text(data: bytes) -> tuple[str, bytes]:
    end = 1 + data[0]
    # ASCII with one ? for each other byte: no longer than what it stands for.
    return data[1:end].decode("ascii", "replace").replace("\ufffd", "?"), data[end:]
