"""Counters that look at as few bytes of a stream as they can.

A load client that decoded everything would cost more than the server that it
measures, so most clients only count; :mod:`.decoding` is for the sample. Pure:
bytes in, counts out.
"""

from __future__ import annotations

from typing import Protocol

HEAD_BYTES_MAX = 28
"""A WebSocket head (10), ``{t: "updates", u:`` (13) and an array's head (5)."""

_CONTINUED_BINARY, _TEXT, _PING = 0x82, 0x81, 0x89
_M = ord("M")


class Counter(Protocol):
    """Counts the updates in one client's stream."""

    updates: int
    pings: int

    def feed(self, data: memoryview) -> None:
        """Take the next bytes, cut anywhere."""


class BytesOnly:
    """Counts nothing: for the raw limit, where bytes are all there is."""

    __slots__ = ("pings", "updates")

    def __init__(self) -> None:
        self.updates = self.pings = 0

    def feed(self, data: memoryview) -> None:
        """See :class:`Counter`."""


class FrameCounter:
    """Counts WebSocket frames of a server (unmasked, RFC 6455, 5.2).

    ``rows``: a binary frame holds as many updates as the array in a
    ``tickfan.msgpack.v1`` updates message says; else each data frame is one.
    """

    __slots__ = ("_carry", "_skip", "pings", "rows", "updates")

    def __init__(self, *, rows: bool) -> None:
        self.rows = rows
        self.updates = self.pings = 0
        self._skip = 0
        self._carry = b""

    def feed(self, data: memoryview) -> None:
        """See :class:`Counter`."""
        if self._carry:
            data = memoryview(self._carry + data)
            self._carry = b""
        end = len(data)
        at = self._skip
        while at < end:
            left = end - at
            if left < 2:
                break
            body, size = at + 2, data[at + 1]
            if size == 126:
                body += 2
                if left < 4:
                    break
                size = data[at + 2] << 8 | data[at + 3]
            elif size == 127:
                body += 8
                if left < 10:
                    break
                size = int.from_bytes(data[at + 2 : at + 10], "big")
            if left < HEAD_BYTES_MAX and body + size > end:
                break
            self._count(data, data[at], body, size)
            at = body + size
        if at < end:
            self._carry = bytes(data[at:])
            at = end
        self._skip = at - end

    def _count(self, data: memoryview, opcode: int, body: int, size: int) -> None:
        if opcode == _PING:
            self.pings += 1
        elif not self.rows:
            if opcode in (_CONTINUED_BINARY, _TEXT):
                self.updates += 1
        # {"t": "up…: of the events with seven letters only "updates" begins so.
        elif size > 14 and data[body + 3] == 0xA7 and data[body + 4] == 0x75:
            head = data[body + 13]
            if head == 0xDC:
                self.updates += data[body + 14] << 8 | data[body + 15]
            elif head == 0xDD:
                self.updates += int.from_bytes(data[body + 14 : body + 18], "big")
            else:
                self.updates += head & 0x0F


class StompCounter(FrameCounter):
    """Counts STOMP's MESSAGE frames, which RabbitMQ sends one in a WebSocket frame."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(rows=False)

    def _count(self, data: memoryview, opcode: int, body: int, size: int) -> None:
        # No other frame of a server begins so: CONNECTED, RECEIPT, ERROR.
        if opcode == _PING or (size and data[body] == _M):
            super()._count(data, opcode, body, size)


class MarkCounter:
    """Counts how often a text occurs: the updates of an event stream."""

    __slots__ = ("_keep", "_mark", "_tail", "pings", "updates")

    def __init__(self, mark: bytes) -> None:
        self._mark = mark
        self._keep = len(mark) - 1  # shorter than the mark: nothing counts twice
        self._tail = b""
        self.updates = self.pings = 0

    def feed(self, data: memoryview) -> None:
        """See :class:`Counter`."""
        text = self._tail + data
        self.updates += text.count(self._mark)
        self._tail = text[-self._keep :]


TICKFAN_EVENT = b'data: {"channel":'
ANY_EVENT = b"data: "


def counter(wire: str) -> Counter:
    """The counter for a wire: ``rows``, ``frames``, ``stomp``, ``sse``, ``events`` or ``bytes``."""
    if wire == "stomp":
        return StompCounter()
    if wire in ("rows", "frames"):
        return FrameCounter(rows=wire == "rows")
    if wire == "bytes":
        return BytesOnly()
    return MarkCounter(TICKFAN_EVENT if wire == "sse" else ANY_EVENT)
