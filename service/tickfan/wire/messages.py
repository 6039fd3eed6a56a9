"""The WebSocket messages, as MessagePack and as JSON.

``{t: "updates", u: [[channel, seq, ts, data, prev?, type?], ...], c?: cursor}``
and ``{t: <event>, ...}``. A message is atomic, so the cursor after it is exact.
A batch is joined from rows that are encoded once and kept on their update.
Must not know the connection, nor what a client may send.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from struct import Struct
from typing import TYPE_CHECKING, Any

import msgpack
import orjson

from tickfan.core.cursor import CURSOR_BYTES_MAX
from tickfan.core.update import GAP, UPDATE
from tickfan.wire import events
from tickfan.wire.framing import binary_frame, text_frame
from tickfan.wire.objects import dumps_to_keep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tickfan.core.cursor import Trail
    from tickfan.core.update import Update
    from tickfan.wire.base import Encodings

UPDATES_BYTES_MAX = 32 * 1024
"""Bytes of a message of several updates, where an operator sets nothing else.

It is the smallest limit of the WebSocket libraries that were tried: a client that gets
more closes, comes back and gets the same again."""

_BESIDE_BYTES = CURSOR_BYTES_MAX + 64
"""What the cursor, the map around it and the rows, and the frame take at most."""

_ARRAY_16 = Struct("!BH").pack


def row(update: Update) -> list[Any]:
    """An update as the values of its row; the last two only where they say something."""
    channel = update.channel
    values = [channel.name, update.seq, update.ts, update.data]
    if update.type != UPDATE:
        values += (update.prev, update.type)
    elif channel.feed.is_lossless:
        values.append(update.prev)
    return values


class _Messages(ABC):
    """What both encodings share: splitting around gaps and at the size limit."""

    name = ""

    def __init__(self, encodings: Encodings, updates_bytes_max: int = UPDATES_BYTES_MAX) -> None:
        """A message of several updates has at most ``updates_bytes_max`` bytes."""
        self._encodings = encodings
        self._rows_bytes_max = updates_bytes_max - _BESIDE_BYTES

    def live(self, updates: Sequence[Update], trail: Trail | None) -> bytes:
        """See :class:`tickfan.wire.base.Format`."""
        if trail is None:
            return self._batches(updates, b"", None)
        if not any(update.type == GAP for update in updates):
            return self._batches(updates, b"", trail)
        parts: list[bytes] = []
        for run, is_gap in _runs(updates):
            if is_gap:
                parts.extend(
                    self.event("gap", events.gap(gap), _cursor_after((gap,), trail)) for gap in run
                )
            else:
                parts.append(self._batches(run, b"", trail))
        return b"".join(parts)

    def snapshot(self, updates: Sequence[Update]) -> bytes:
        """See :class:`tickfan.wire.base.Format`."""
        return self._batches(updates, self._SNAPSHOT, None)

    def opening(self, name: str, fields: Mapping[str, Any], retry_ms: int) -> bytes:
        """See :class:`tickfan.wire.base.Format`."""
        return self.event(name, {**fields, "retry_ms": retry_ms})

    @abstractmethod
    def event(self, name: str, fields: Mapping[str, Any], cursor: str | None = None) -> bytes:
        """See :class:`tickfan.wire.base.Format`."""

    _SNAPSHOT = b""
    _BETWEEN = b""

    @abstractmethod
    def _rows(self, updates: Sequence[Update]) -> list[bytes]:
        """The encoded row of each update."""

    @abstractmethod
    def _batch(self, rows: bytes, count: int, mark: bytes, cursor: str | None) -> bytes:
        """One framed message of ``count`` joined rows."""

    def _batches(self, updates: Sequence[Update], mark: bytes, trail: Trail | None) -> bytes:
        rows = self._rows(updates)
        between = self._BETWEEN
        joined = between.join(rows)
        most = self._rows_bytes_max
        if len(joined) <= most:
            return self._batch(joined, len(rows), mark, _cursor_after(updates, trail))
        parts: list[bytes] = []
        start = size = 0
        for index, encoded in enumerate(rows):
            if size + len(encoded) + 1 > most and index > start:
                cursor = _cursor_after(updates[start:index], trail)
                run = between.join(rows[start:index])
                parts.append(self._batch(run, index - start, mark, cursor))
                start, size = index, 0
            size += len(encoded) + 1
        cursor = _cursor_after(updates[start:], trail)
        parts.append(self._batch(between.join(rows[start:]), len(rows) - start, mark, cursor))
        return b"".join(parts)


class MsgpackMessages(_Messages):
    """Subprotocol ``tickfan.msgpack.v1``: binary frames (msgpack spec, 2013)."""

    name = "ws.msgpack"
    _SNAPSHOT = b"\xa8snapshot\xc3"

    def __init__(self, encodings: Encodings, updates_bytes_max: int = UPDATES_BYTES_MAX) -> None:
        super().__init__(encodings, updates_bytes_max)
        self._pack: Callable[[Any], bytes] = msgpack.Packer().pack

    def event(self, name: str, fields: Mapping[str, Any], cursor: str | None = None) -> bytes:
        """See :class:`tickfan.wire.base.Format`."""
        message: dict[str, Any] = {"t": name, **fields}
        if cursor is not None:
            message["c"] = cursor
        return binary_frame(self._pack(message))

    def _rows(self, updates: Sequence[Update]) -> list[bytes]:
        encode = self._encode
        return [update.as_msgpack_row or encode(update) for update in updates]

    def _encode(self, update: Update) -> bytes:
        self._encodings.msgpack_rows += 1
        update.as_msgpack_row = encoded = self._pack(row(update))
        return encoded

    def _batch(self, rows: bytes, count: int, mark: bytes, cursor: str | None) -> bytes:
        # A row has 6 bytes at least, so a message has fewer rows than a longer header is for.
        head = bytes((0x90 | count,)) if count < 16 else _ARRAY_16(0xDC, count)
        tail = b"" if cursor is None else b"\xa1c" + self._pack(cursor)
        # A map of t, u and what else there is.
        size = bytes((0x82 + bool(mark) + (cursor is not None),))
        body = b"".join([size, b"\xa1t\xa7updates\xa1u", head, rows, mark, tail])
        return binary_frame(body)


class JsonMessages(_Messages):
    """Subprotocol ``tickfan.json.v1``: text frames."""

    name = "ws.json"
    _SNAPSHOT = b',"snapshot":true'
    _BETWEEN = b","

    def event(self, name: str, fields: Mapping[str, Any], cursor: str | None = None) -> bytes:
        """See :class:`tickfan.wire.base.Format`."""
        message: dict[str, Any] = {"t": name, **fields}
        if cursor is not None:
            message["c"] = cursor
        return text_frame(orjson.dumps(message))

    def _rows(self, updates: Sequence[Update]) -> list[bytes]:
        encode = self._encode
        return [update.as_json_row or encode(update) for update in updates]

    def _encode(self, update: Update) -> bytes:
        self._encodings.json_rows += 1
        update.as_json_row = encoded = dumps_to_keep(row(update))
        return encoded

    def _batch(self, rows: bytes, count: int, mark: bytes, cursor: str | None) -> bytes:
        del count
        tail = b"" if cursor is None else b',"c":"%b"' % cursor.encode()
        return text_frame(b'{"t":"updates","u":[%b]%b%b}' % (rows, mark, tail))


def _cursor_after(updates: Sequence[Update], trail: Trail | None) -> str | None:
    """Step over the updates; only the last of each feed makes its place."""
    if trail is None:
        return None
    last = {update.channel.feed.name: update for update in updates}
    trail.jump({feed: update.place or "" for feed, update in last.items()})
    return trail.text()


def _runs(updates: Sequence[Update]) -> Iterator[tuple[Sequence[Update], bool]]:
    """The updates cut into runs of gaps and runs of others."""
    start = 0
    for index in range(1, len(updates) + 1):
        if index == len(updates) or updates[index].is_gap != updates[start].is_gap:
            yield updates[start:index], updates[start].is_gap
            start = index
