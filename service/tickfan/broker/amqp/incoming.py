"""Cuts deliveries out of the connection's bytes, ahead of the AMQP library.

All else that the broker says is passed on to the library untouched. The library makes
seven objects, two queue entries and a task of each message, which takes 27 us. Read here, a
message is a tuple and a plain call, which takes 4 us. The library also ends the connection
at a message whose properties it cannot decode, and on a stream such a message would come
again after each reconnect. Here such properties count as absent.

The format is that of AMQP 0-9-1, sections 2.3.5 (frames), 4.2.6 (content) and 1.8.3.13
(Deliver), with the table of field types that RabbitMQ uses. Must not know what a message
means, who consumes, or how one acks.
"""

from __future__ import annotations

import asyncio
import re
import struct
from struct import Struct
from time import perf_counter
from typing import TYPE_CHECKING, cast

from tickfan.broker.base import Received

if TYPE_CHECKING:
    from collections.abc import Callable

    Take = Callable[[Received], None]

TURN_S = 0.005
"""How long deliveries may hold the loop before the others get their turn."""
SIGN_EVERY_S = 1.0
"""How often the library is told that deliveries come.

The library takes a peer for dead that it hears nothing of, and RabbitMQ sends heartbeats
only when it has nothing else to send.
"""

OFFSET_HEADER = "x-stream-offset"
TS_MAX = 2**53
"""What JavaScript can say exactly (IEEE 754 doubles)."""
SECONDS_MAX = 2**32 - 1
"""A larger ``timestamp`` is in ms, as many publishers have it: no one means after 2106."""
MS_MAX = 253_402_300_799_999
"""The year 9999. Beyond it are microseconds, and on a stream what RabbitMQ makes of them."""

_METHOD, _HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8
_FRAMES = (_METHOD, _HEADER, _BODY, _HEARTBEAT)
_FRAME_END = 0xCE
_SIGN = b"\x08\x00\x00\x00\x00\x00\x00\xce"  # a heartbeat
_FRAME_OVERHEAD = 8  # type, channel and size before the payload, the end octet after it
_DELIVER = b"\x00\x3c\x00\x3c"  # class 60 (basic), method 60
_frame_head = Struct(">BHI").unpack_from
_deliver_middle = Struct(">QBB").unpack_from  # delivery tag, redelivered, length of the exchange
_content_head = Struct(">QH").unpack_from  # body size, property flags
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


class Incoming(asyncio.StreamReader):
    """The AMQP library's reader, without the deliveries of the routed channels.

    Those go to their takers when their bytes arrive, for at most ``turn_s`` at a time. If
    some must wait for the next turn, the socket is stopped meanwhile. So TCP slows a broker
    that sends faster than we take.
    """

    def __init__(self, *, turn_s: float = TURN_S, sign_every_s: float = SIGN_EVERY_S) -> None:
        """``sign_every_s``: how often the library is told that the peer is alive."""
        super().__init__()
        self._turn_s = turn_s
        self._sign_every_s = sign_every_s
        self.taken = 0
        """Frames of deliveries so far, of whole ones or not: the peer is alive."""
        self._routes: dict[int, _Route] = {}
        self._data = b""
        self._next_sign = perf_counter() + self._sign_every_s
        self._next_turn: asyncio.Handle | None = None
        self._socket: asyncio.Transport | None = None
        self._is_over = False

    def route(self, channel: int, take: Take) -> None:
        """Give ``take`` all deliveries on this AMQP channel; before it consumes."""
        self._routes[channel] = _Route(take)

    def forget(self, channel: int, take: Take) -> None:
        """The channel is closed: nothing comes on it, and its number may be used again."""
        route = self._routes.get(channel)
        if route is not None and route.take == take:
            del self._routes[channel]

    def is_amid(self, channel: int) -> bool:
        """Whether a delivery has come in part on this routed channel."""
        route = self._routes.get(channel)
        return route is not None and route.is_open

    def set_transport(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket (called by the protocol)."""
        super().set_transport(transport)
        # Not asserted: uvloop's transport has the methods, but not the class.
        self._socket = cast("asyncio.Transport", transport)

    def feed_data(self, data: bytes) -> None:  # type: ignore[override] # what protocols call it with
        """Take what has been read from the socket (called by the protocol)."""
        self._data += data
        if self._next_turn is None:
            self._turn()

    def feed_eof(self) -> None:
        """Take the end: passed on after all that came before it."""
        self._is_over = True
        if self._next_turn is None:
            super().feed_eof()

    def _turn(self) -> None:
        """Take what is there, as long as the turn lasts."""
        was_waiting, self._next_turn = self._next_turn is not None, None
        if self._cut():
            self._next_turn = asyncio.get_running_loop().call_soon(self._turn)
            if self._socket is not None and not was_waiting:
                self._socket.pause_reading()
            return
        if was_waiting and self._socket is not None and not self._socket.is_closing():
            self._socket.resume_reading()
        if self._is_over:
            super().feed_eof()

    def _cut(self) -> bool:
        """Take whole frames off the data; whether the turn ended before they did."""
        data, at, end = self._data, 0, len(self._data)
        routes, taken = self._routes, 0
        until = perf_counter() + self._turn_s
        is_cut_short = False
        while end - at >= _FRAME_OVERHEAD:
            kind, channel, size = _frame_head(data, at)
            stop = at + size + _FRAME_OVERHEAD
            if kind not in _FRAMES:  # the library says what is wrong with it
                stop, channel = end, 0
            elif stop > end:
                break
            elif data[stop - 1] != _FRAME_END:
                channel = 0
            route = routes.get(channel)
            if route is not None and route.takes(kind, data, at + 7, stop - 1):
                taken += 1
            else:
                super().feed_data(data[at:stop])
            at = stop
            # Looked at where a message begins: one without a body has no body frame.
            if kind == _METHOD and perf_counter() > until:
                is_cut_short = end - at >= _FRAME_OVERHEAD
                break
        self._data = data[at:]
        if taken:
            self.taken += taken
            if perf_counter() > self._next_sign:
                self._next_sign = perf_counter() + self._sign_every_s
                super().feed_data(_SIGN)
        return is_cut_short


class _Route:
    """One channel's deliveries, each put together from its frames."""

    __slots__ = ("_key", "_left", "_parts", "_properties", "_tag", "is_open", "take")

    def __init__(self, take: Take) -> None:
        self.take = take
        self.is_open = False
        self._tag = 0
        self._key = ""
        self._properties = _NOTHING
        self._left = 0  # bytes of the body that are still to come; negative: all of it
        self._parts: list[bytes] = []

    def takes(self, kind: int, data: bytes, at: int, end: int) -> bool:
        """Take the payload ``data[at:end]`` of a frame; False if it is of no delivery."""
        if kind == _METHOD:
            if data[at : at + 4] != _DELIVER:
                return False
            at += 5 + data[at + 4]  # over the consumer tag: a channel has one consumer
            self._tag, _, size = _deliver_middle(data, at)
            at += 10 + size
            self._key = str(data[at + 1 : at + 1 + data[at]], "utf-8", "replace")
            self.is_open = True
            return True
        if not self.is_open:
            return False
        if kind == _HEADER:
            self._left, flags = _content_head(data, at + 4)
            try:
                self._properties = _properties(data, at + 14, end, flags)
            except (struct.error, IndexError, KeyError):
                self._properties = _bare(data[at:end])
            if self._left == 0:
                self._done(b"")
            return True
        if kind == _BODY:
            body = data[at:end]
            self._left -= end - at
            if self._left > 0:
                self._parts.append(body)
            elif self._parts:
                parts, self._parts = self._parts, []
                self._done(b"".join((*parts, body)))
            else:
                self._done(body)
            return True
        return False

    def _done(self, body: bytes) -> None:
        self.is_open = False
        content_type, type_, message_id, ts, batch, offset = self._properties
        self.take(
            Received(self._key, body, content_type, type_, message_id, ts, batch, offset, self._tag)
        )


_Properties = tuple[str | None, str | None, str | None, int | None, bool, int | None]
_NOTHING: _Properties = (None, None, None, None, False, None)


def _properties(data: bytes, at: int, end: int, flags: int) -> _Properties:  # noqa: C901 - one case each
    """What we use of the properties; a flag for each of them says that it is there.

    In their order: content-type, content-encoding, headers, delivery-mode, priority,
    correlation-id, reply-to, expiration, message-id, timestamp, type.
    """
    content_type = type_ = message_id = ts = offset = None
    batch = False
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
    if at > end:
        raise IndexError
    return content_type, type_ or None, message_id, ts, batch, offset


def _bare(header: bytes) -> _Properties:
    """What is left of properties that cannot be decoded: the place in the stream."""
    match = _OFFSET_ANYWHERE.search(header)
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
