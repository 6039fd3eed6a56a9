"""The sample that decodes every byte: what was promised is checked here.

Lossless: each update once, in order, by the ``prev`` chain and by the
publisher's own numbers. Conflated: never an older value, and in the end the
newest. Pure: bytes and the time in, findings out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgpack
import orjson

from loadtest.bench.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Iterator

_PING, _CLOSE = 0x9, 0x8


class Ledger:
    """What one client has received, checked update by update."""

    def __init__(self, *, lossless: bool) -> None:
        self._is_lossless = lossless
        self.ages = Histogram()
        self.last: dict[str, int] = {}
        self._seqs: dict[str, int] = {}
        self.wrong: dict[str, int] = {}
        # The newest publishing time seen, in us, and what came before it.
        self.newest_us = 0

    def fault(self, what: str, count: int = 1) -> None:
        """Something is not as promised."""
        self.wrong[what] = self.wrong.get(what, 0) + count

    def take(self, channel: str, seq: int | None, prev: int | None, data: Any, now_us: int) -> None:
        """One update. ``seq`` None: a peer without numbers of its own."""
        sent_us = data.get("m")
        if sent_us is not None:
            self.ages.add(now_us - sent_us)
            self.newest_us = max(self.newest_us, sent_us)
        number = data.get("n")
        if number is not None:
            before = self.last.get(channel, 0)
            if self._is_lossless and number != before + 1:
                self.fault("lost" if number > before else "again", max(1, number - before - 1))
            elif number < before:
                self.fault("older")
            self.last[channel] = number
        if seq is None:
            return
        known = self._seqs.get(channel)
        if known is not None:
            if self._is_lossless and prev != known:
                self.fault("chain broken")
            if seq < known:
                self.fault("order")
        self._seqs[channel] = seq

    def finish(self, final: dict[str, int]) -> None:
        """Nothing comes any more: the last of each channel must be the newest."""
        for channel, number in self.last.items():
            if channel in final and number != final[channel]:
                self.fault("not the newest")


class Decoder:
    """Decodes one client's stream into a ledger. Also a :class:`.counting.Counter`."""

    def __init__(self, wire: str, *, lossless: bool) -> None:
        self.ledger = Ledger(lossless=lossless)
        self.updates = self.pings = 0
        self.events: dict[str, int] = {}
        # Whether the body is chunked (RFC 9112, 7.1); the response's head says it.
        self.chunked = False
        self._wire = wire
        self._buffer = bytearray()
        self._text = b""

    @property
    def pending(self) -> int:
        """Bytes of a frame that is not complete yet."""
        return len(self._buffer)

    def feed(self, data: memoryview, now_us: int = 0) -> None:
        """Take the next bytes, received at ``now_us`` (monotonic)."""
        self._buffer += data
        if self._wire in ("rows", "frames", "stomp"):
            for opcode, body in self._frames():
                self._frame(opcode, body, now_us)
            return
        for event in self._sse():
            self._event(event, now_us)

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        buffer, at = self._buffer, 0
        while len(buffer) - at >= 2:
            body, size = at + 2, buffer[at + 1]
            if size >= 126:
                body += 2 if size == 126 else 8
                if len(buffer) < body:
                    break
                size = int.from_bytes(buffer[at + 2 : body], "big")
            if len(buffer) < body + size:
                break
            yield buffer[at] & 0xF, bytes(buffer[body : body + size])
            at = body + size
        del buffer[:at]

    def _frame(self, opcode: int, body: bytes, now_us: int) -> None:
        if opcode == _PING:
            self.pings += 1
        elif opcode == _CLOSE:
            self.ledger.fault("closed")
        elif self._wire == "frames":
            # nchan sends the JSON it was given, the naive loop MessagePack.
            data = orjson.loads(body) if body[:1] == b"{" else msgpack.unpackb(body)
            self._one("", data, now_us)
        elif self._wire == "stomp":
            self._stomp(body, now_us)
        else:
            self._message(msgpack.unpackb(body), now_us)

    def _message(self, message: dict[str, Any], now_us: int) -> None:
        if message["t"] != "updates":
            self._note(message["t"])
            return
        take = self.ledger.take
        rows = message["u"]
        self.updates += len(rows)
        for row in rows:
            take(row[0], row[1], row[4] if len(row) > 4 else None, row[3], now_us)

    def _stomp(self, frame: bytes, now_us: int) -> None:
        """Command, headers, an empty line, body, NUL (STOMP 1.2)."""
        head, _, body = frame.partition(b"\n\n")
        command = head.partition(b"\n")[0]
        if command == b"MESSAGE":
            self._one("", orjson.loads(body.rstrip(b"\0\n")), now_us)
        elif command == b"ERROR":
            self.ledger.fault("error")

    def _one(self, channel: str, data: Any, now_us: int) -> None:
        self.updates += 1
        self.ledger.take(channel, None, None, data, now_us)

    def _note(self, event: str) -> None:
        self.events[event] = self.events.get(event, 0) + 1
        if event in ("gap", "reset", "error", "closing"):
            self.ledger.fault(event)

    def _sse(self) -> Iterator[bytes]:
        """Events, without the chunk framing."""
        if self.chunked:
            fresh = _unchunked(self._buffer)
        else:
            fresh = bytes(self._buffer)
            self._buffer.clear()
        text = self._text + fresh
        *events, self._text = text.replace(b"\r\n", b"\n").split(b"\n\n")
        yield from events

    def _event(self, event: bytes, now_us: int) -> None:
        fields = dict(line.split(b": ", 1) for line in event.split(b"\n") if b": " in line)
        body = fields.get(b"data")
        if body is None:
            return
        value = orjson.loads(body)
        if b"event" in fields:
            self._note(fields[b"event"].decode())
        elif self._wire == "sse":
            self.updates += 1
            self.ledger.take(
                value["channel"], value["seq"], value.get("prev"), value["data"], now_us
            )
        else:
            self._one("", value, now_us)


def _unchunked(buffer: bytearray) -> bytes:
    """Take all complete chunks off the buffer (RFC 9112, 7.1)."""
    parts: list[bytes] = []
    at = 0
    while (line := buffer.find(b"\r\n", at)) >= 0:
        size = int(buffer[at:line], 16)
        end = line + 2 + size + 2
        if len(buffer) < end:
            break
        parts.append(bytes(buffer[line + 2 : line + 2 + size]))
        at = end
    del buffer[:at]
    return b"".join(parts)
