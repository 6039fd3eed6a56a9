"""What we use of a message's AMQP properties, from their bytes.

What cannot be decoded counts as absent. Only the place in the stream is always looked for:
without it a stream would stop at such a message for ever.

The format is that of AMQP 0-9-1, section 4.2.6.1, with the table of field types that RabbitMQ
uses. Must not know frames, nor what a message means.
"""

from __future__ import annotations

import re
import struct
from struct import Struct

OFFSET_HEADER = "x-stream-offset"
TS_MAX = 2**53
"""What JavaScript can say exactly (IEEE 754 doubles)."""
SECONDS_MAX = 2**32 - 1
"""A larger ``timestamp`` is in ms, as many publishers have it: no one means after 2106."""
MS_MAX = 253_402_300_799_999
"""The year 9999. Beyond it are microseconds, and on a stream what RabbitMQ makes of them."""

_u32 = Struct(">I").unpack_from
_u64 = Struct(">Q").unpack_from

# Types of fields: whole numbers, others of a fixed size, and those that begin with one.
_NUMBERS = {
    ord(kind): Struct(">" + code)
    for kind, code in zip("bBsuIilL", "bBhHiIqq", strict=True)
}  # fmt: skip
_SIZES = {ord(kind): size for kind, size in zip("tfdDTV", (1, 4, 8, 5, 8, 0), strict=True)}
_WITH_SIZE = frozenset(b"SAFx")
_BOOLEAN = ord("t")
_OFFSET = OFFSET_HEADER.encode()
_OFFSET_ANYWHERE = re.compile(b"\x0f" + _OFFSET + b"[lL](.{8})", re.DOTALL)

Properties = tuple[str | None, str | None, str | None, int | None, bool, int | None]
NOTHING: Properties = (None, None, None, None, False, None)


def read_properties(data: bytes, at: int, end: int, flags: int) -> Properties:  # noqa: C901 - one case each
    """What we use of the properties; a flag for each of them says that it is there.

    In their order: content-type, content-encoding, headers, delivery-mode, priority,
    correlation-id, reply-to, expiration, message-id, timestamp, type.
    """
    content_type = type_ = message_id = ts = offset = None
    batch = False
    begin = at
    try:
        if flags & 0x8000:
            content_type, at = _short(data, at)
        if flags & 0x4000:
            at += 1 + data[at]
        if flags & 0x2000:
            (size,) = _u32(data, at)
            ts, batch, offset = _headers(data, at + 4, at + 4 + size)
            at += 4 + size
        at += bool(flags & 0x1000) + bool(flags & 0x0800)
        if flags & 0x0700:
            for flag in (0x0400, 0x0200, 0x0100):
                if flags & flag:
                    at += 1 + data[at]
        if flags & 0x0080:
            message_id, at = _short(data, at)
        if flags & 0x0040:
            (seconds,) = _u64(data, at)
            at += 8
            given = seconds if seconds > SECONDS_MAX else seconds * 1000
            if ts is None and given <= MS_MAX:
                ts = given
        if flags & 0x0020:
            type_, at = _short(data, at)
    except (struct.error, IndexError, KeyError):
        at = end + 1
    if at > end:
        return _bare(data[begin:end])
    return content_type, type_ or None, message_id, ts, batch, offset


def _bare(data: bytes) -> Properties:
    """What is left of properties that cannot be decoded: the place in the stream."""
    match = _OFFSET_ANYWHERE.search(data)
    offset = None if match is None else _u64(match[1])[0]
    return None, None, None, None, False, offset


def _headers(data: bytes, at: int, end: int) -> tuple[int | None, bool, int | None]:
    """The headers ``ts``, ``batch`` and ``x-stream-offset`` of a field table."""
    ts = offset = None
    batch = False
    while at < end:
        stop = at + 1 + data[at]
        name = data[at + 1 : stop]
        kind = data[stop]
        at = stop + 1
        number = _NUMBERS.get(kind)
        if number is not None:
            if name == b"ts":
                (given,) = number.unpack_from(data, at)
                if 0 <= given < TS_MAX:
                    ts = given
            elif name == _OFFSET:
                (offset,) = number.unpack_from(data, at)
            at += number.size
        elif kind in _WITH_SIZE:
            at += 4 + _u32(data, at)[0]
        else:
            if name == b"batch" and kind == _BOOLEAN:
                batch = data[at] != 0
            at += _SIZES[kind]
    return ts, batch, offset


def _short(data: bytes, at: int) -> tuple[str | None, int]:
    """A short string, None if it is no UTF-8; and where it ends."""
    end = at + 1 + data[at]
    try:
        return str(data[at + 1 : end], "utf-8"), end
    except UnicodeDecodeError:
        return None, end
