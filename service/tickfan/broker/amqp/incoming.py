"""Cuts deliveries out of the connection's bytes, ahead of the AMQP library.

All else that the broker says is passed on to the library untouched. The library makes
seven objects, two queue entries and a task of each message, which takes 27 us. Read here, a
message is a tuple and a plain call, which takes 4 us. The library also ends the connection
at a message whose properties it cannot decode, and on a stream such a message would come
again after each reconnect. Here such properties count as absent.

The format is that of AMQP 0-9-1, sections 2.3.5 (frames), 4.2.6 (content) and 1.8.3.13
(Deliver). Must not know what a message means, who consumes, or how one acks.
"""

from __future__ import annotations

import asyncio
from struct import Struct
from struct import error as struct_error
from time import perf_counter
from typing import TYPE_CHECKING, cast

from tickfan.broker.amqp.properties import NOTHING, read_properties
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

FRAME_BYTES_MAX = 2**29
"""Of one frame's payload: RabbitMQ takes no larger message (``max_message_size``)."""

_METHOD, _HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8
_FRAMES = (_METHOD, _HEADER, _BODY, _HEARTBEAT)
_FRAME_END = 0xCE
_SIGN = b"\x08\x00\x00\x00\x00\x00\x00\xce"  # a heartbeat
_FRAME_OVERHEAD = 8  # type, channel and size before the payload, the end octet after it
_DELIVER = b"\x00\x3c\x00\x3c"  # class 60 (basic), method 60
_CONTENT_HEAD_BYTES = 14  # class, weight, body size, property flags
_frame_head = Struct(">BHI").unpack_from
_deliver_middle = Struct(">QBB").unpack_from  # delivery tag, redelivered, length of the exchange
_content_head = Struct(">QH").unpack_from  # body size, property flags


class BrokenFrames(Exception):
    """The peer breaks the protocol; the text says how."""


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
        self._is_broken = False
        self._is_lost = False
        self.on_broken: Callable[[str], None] = lambda _why: None
        """Is told why nothing more can be read."""
        self.on_control: Callable[[bytes], None] = lambda _method: None
        """Is given each method of the connection itself, which the library gets, too."""

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
        if self._is_broken:
            return
        if self._is_lost:
            super().feed_data(data)
            return
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
        try:
            is_more = self._cut()
        except (BrokenFrames, IndexError, struct_error) as error:
            # Where the next frame begins, nobody knows.
            self._is_broken, self._data = True, b""
            self.on_broken(f"the broker's frames are broken: {error}")
            return
        if is_more:
            self._next_turn = asyncio.get_running_loop().call_soon(self._turn)
            if self._socket is not None and not was_waiting:
                self._socket.pause_reading()
            return
        if was_waiting and self._socket is not None and not self._socket.is_closing():
            self._socket.resume_reading()
        if self._is_over:
            super().feed_eof()

    def _cut(self) -> bool:  # noqa: C901 - one case each
        """Take whole frames off the data; whether the turn ended before they did."""
        data, at, end = self._data, 0, len(self._data)
        routes, taken = self._routes, 0
        until = perf_counter() + self._turn_s
        is_cut_short = False
        while end - at >= _FRAME_OVERHEAD:
            kind, channel, size = _frame_head(data, at)
            stop = at + size + _FRAME_OVERHEAD
            if kind not in _FRAMES:
                # The library says what is wrong with it. What follows is for the library, too:
                # where the next frame begins, nobody knows, and it might look like a delivery.
                self._is_lost = True
                stop, channel = end, 0
            elif stop > end:
                if size > FRAME_BYTES_MAX:
                    raise BrokenFrames(f"a frame says that it has {size} bytes")
                break
            elif data[stop - 1] != _FRAME_END:
                channel = 0
            route = routes.get(channel)
            if route is not None and route.takes(kind, data, at + 7, stop - 1):
                taken += 1
            else:
                if kind == _METHOD and channel == 0:
                    self.on_control(data[at + 7 : stop - 1])
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
        self._properties = NOTHING
        self._left = -1  # bytes of the body that are still to come; negative: its header is, too
        self._parts: list[bytes] = []

    def takes(  # noqa: C901, PLR0912 - one case each
        self, kind: int, data: bytes, at: int, end: int
    ) -> bool:
        """Take the payload ``data[at:end]`` of a frame; False if it is of no delivery.

        Raises BrokenFrames; IndexError or struct.error where a length runs past all data.
        """
        if kind == _METHOD:
            if data[at : at + 4] != _DELIVER:
                return False
            if self.is_open:
                raise BrokenFrames("a delivery begins inside of another")
            at += 5 + data[at + 4]  # over the consumer tag: a channel has one consumer
            self._tag, _, size = _deliver_middle(data, at)
            at += 10 + size
            if at + 1 + data[at] != end:
                raise BrokenFrames("a delivery's lengths are not those of its frame")  # any of them
            self._key = str(data[at + 1 : end], "utf-8", "replace")
            self.is_open = True
            return True
        if kind == _HEADER:
            if not self.is_open or self._left >= 0 or end - at < _CONTENT_HEAD_BYTES:
                raise BrokenFrames("a content header comes where none is due, or is too short")
            self._left, flags = _content_head(data, at + 4)
            self._properties = read_properties(data, at + 14, end, flags) if flags else NOTHING
            if self._left == 0:
                self._done(b"")
            return True
        if kind == _BODY:
            if self._left < 0:
                raise BrokenFrames("a body comes before its header")
            body = data[at:end]
            self._left -= end - at
            if self._left > 0:
                self._parts.append(body)
            elif self._left < 0:
                raise BrokenFrames("a body is longer than its header says")
            elif self._parts:
                parts, self._parts = self._parts, []
                self._done(b"".join((*parts, body)))
            else:
                self._done(body)
            return True
        return False

    def _done(self, body: bytes) -> None:
        self.is_open = False
        self._left = -1
        kind, type_, id_, ts, batch, offset, wrong, encoding = self._properties
        key, tag = self._key, self._tag
        self.take(Received(key, body, kind, type_, id_, ts, batch, offset, tag, wrong, encoding))
