"""What we use of a message's AMQP properties, from their bytes.

A header of ours is taken as it is meant, in whatever type it was written, or else the
message is wrong, by name. What cannot be decoded at all counts as absent. Only the place in
the stream is always looked for: without it a stream would stop at such a message for ever.

The format is that of AMQP 0-9-1, section 4.2.6.1, with the table of field types that RabbitMQ
uses. Must not know frames, nor what is in a body.
"""

from __future__ import annotations

import re
import struct
from struct import Struct

from tickfan.core.errors import Poison
from tickfan.core.times import MS_MAX, SECONDS_MAX, as_ms, of_timestamp

OFFSET_HEADER = "x-stream-offset"

_u32 = Struct(">I").unpack_from
_u64 = Struct(">Q").unpack_from
_double = Struct(">d").unpack

# Types of fields: whole numbers, others of a fixed size, and those that begin with one.
_NUMBERS = {
    ord(kind): (Struct(">" + code).unpack_from, Struct(">" + code).size)
    for kind, code in zip("bBsuIilL", "bBhHiIqq", strict=True)
}
_SIZES = {ord(kind): size for kind, size in zip("tfdDTV", (1, 4, 8, 5, 8, 0), strict=True)}
_WITH_SIZE = frozenset(b"SAFx")
_BOOLEAN = ord("t")
_TIMESTAMP = ord("T")
_FLOAT, _DOUBLE = ord("f"), ord("d")
_TEXT = ord("S")
_NO_VALUE = ord("V")
_OURS = frozenset((b"ts", b"batch"))
_FLAGS = {"true": True, "1": True, "false": False, "0": False}
_OFFSET = OFFSET_HEADER.encode()
_OFFSET_ANYWHERE = re.compile(b"\x0f" + _OFFSET + b"[lL](.{8})", re.DOTALL)

Properties = tuple[
    str | None, str | None, str | None, int | None, bool, int | None, Poison | None, str | None
]
"""Content type, type, message id, ts, batch, offset, wrong, encoding: see ``Received``."""
NOTHING: Properties = (None, None, None, None, False, None, None, None)

_Odd = dict[bytes, tuple[int, bytes]]
"""Headers of ours in another type than ours, or out of range: by name, type and bytes."""
_NONE: _Odd = {}


def read_properties(  # noqa: C901, PLR0912 - one case each
    data: bytes, at: int, end: int, flags: int
) -> Properties:
    """What we use of the properties; a flag for each of them says that it is there.

    In their order: content-type, content-encoding, headers, delivery-mode, priority,
    correlation-id, reply-to, expiration, message-id, timestamp, type.
    """
    content_type = encoding = type_ = message_id = ts = offset = stamp = wrong = None
    batch = False
    odd = _NONE
    begin = at
    try:
        if flags & 0x8000:
            content_type, at = _short(data, at)
        if flags & 0x4000:
            encoding, at = _short(data, at)
        if flags & 0x2000:
            (size,) = _u32(data, at)
            ts, batch, offset, odd = _headers(data, at + 4, at + 4 + size)
            at += 4 + size
        at += (flags >> 12 & 1) + (flags >> 11 & 1)
        if flags & 0x0700:
            for flag in (0x0400, 0x0200, 0x0100):
                if flags & flag:
                    at += 1 + data[at]
        if flags & 0x0080:
            message_id, at = _short(data, at)
        if flags & 0x0040:
            (stamp,) = _u64(data, at)
            at += 8
        if flags & 0x0020:
            type_, at = _short(data, at)
    except (struct.error, IndexError, KeyError):
        at = end + 1
    if at > end:
        return _bare(data[begin:end])
    try:
        if odd:
            ts, batch = _as_meant(odd, ts, batch)
        if stamp and ts is None:
            ts = of_timestamp(stamp)
    except Poison as poison:
        ts, wrong = None, poison
    return content_type, type_ or None, message_id, ts, batch, offset, wrong, encoding


def _bare(data: bytes) -> Properties:
    """What is left of properties that cannot be decoded: the place in the stream."""
    match = _OFFSET_ANYWHERE.search(data)
    offset = None if match is None else _u64(match[1])[0]
    return None, None, None, None, False, offset, None, None


def _headers(data: bytes, at: int, end: int) -> tuple[int | None, bool, int | None, _Odd]:
    """The headers ``ts``, ``batch`` and ``x-stream-offset`` of a field table."""
    ts = offset = None
    batch = False
    odd = _NONE  # the last of each name: one frame has room for 30,000 of a name
    while at < end:
        stop = at + 1 + data[at]
        name = data[at + 1 : stop]
        kind = data[stop]
        at = stop + 1
        if kind in _NUMBERS:
            unpack, size = _NUMBERS[kind]
            if name == b"ts":
                (ts,) = unpack(data, at)
                if not SECONDS_MAX < ts <= MS_MAX:
                    odd = {**odd, name: (kind, data[at : at + size])}
            elif name == _OFFSET:
                (offset,) = unpack(data, at)
            elif name == b"batch":
                odd = {**odd, name: (kind, data[at : at + size])}
        else:
            size = 4 + _u32(data, at)[0] if kind in _WITH_SIZE else _SIZES[kind]
            if name == b"batch" and kind == _BOOLEAN:
                batch = data[at] != 0
            elif name in _OURS:
                odd = {**odd, name: (kind, data[at : at + size])}
        at += size
    return ts, batch, offset, odd


def _as_meant(odd: _Odd, ts: int | None, batch: bool) -> tuple[int | None, bool]:
    """``ts`` and ``batch`` as these headers mean them.

    Raises :class:`Poison` (``bad_ts``, ``bad_batch``) for what means neither this nor that.
    """
    for name, (kind, data) in odd.items():
        value = _value(kind, data)
        if name == b"batch":
            batch = _flag(value)
        elif kind == _TIMESTAMP:
            ts = of_timestamp(_u64(data)[0])
        elif kind == _FLOAT:
            raise Poison("bad_ts", "ts: a float of 32 bits is up to a minute off; send whole ms")
        else:
            ts = as_ms(value)
    return ts, batch


def _flag(value: object) -> bool:
    """STOMP has only texts, and some languages only numbers."""
    if value is None:
        return False
    if isinstance(value, str | int):
        found = _FLAGS.get(str(value).strip().lower())
        if found is not None:
            return found
        shown = repr(value)[:60]
    else:
        shown = "of another type"
    raise Poison("bad_batch", f"the header batch is {shown}; send true, false, 1 or 0")


def _value(kind: int, data: bytes) -> object:
    """A field's value; of a type that means nothing to us its bytes."""
    if kind in _NUMBERS:
        return _NUMBERS[kind][0](data)[0]
    if kind == _DOUBLE:
        return _double(data)[0]
    if kind == _BOOLEAN:
        return data[0] != 0
    if kind == _TEXT:
        return str(data[4:], "utf-8", "replace")
    return None if kind == _NO_VALUE else data


def _short(data: bytes, at: int) -> tuple[str, int]:
    """A short string, and where it ends.

    What is no UTF-8 is replaced, so that no type and no content type has such a name.
    """
    end = at + 1 + data[at]
    try:
        return data[at + 1 : end].decode(), end
    except UnicodeDecodeError:
        return data[at + 1 : end].decode(errors="replace"), end
