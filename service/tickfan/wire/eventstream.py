"""Server-Sent Events (WHATWG HTML, section 9.2), built for many readers at once.

All that is written here is JSON without line breaks, names from closed sets, and cursors
of unreserved characters. So no value can end a line or an event early.
Must not know HTTP beyond the framing that it is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from tickfan.core.update import GAP, SNAPSHOT, UPDATE
from tickfan.wire import events
from tickfan.wire.objects import encode_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tickfan.core.cursor import Trail
    from tickfan.core.update import Update
    from tickfan.wire.base import Encodings


class EventStream:
    """The SSE format. Updates are unnamed events; an id is a cursor."""

    name = "sse"

    def __init__(self, frame: Callable[[bytes], bytes], encodings: Encodings) -> None:
        self._frame = frame
        self._encodings = encodings

    def live(self, updates: Sequence[Update], trail: Trail | None) -> bytes:
        """See :class:`tickfan.wire.base.Format`."""
        # A list: a third of a generator's time.
        if trail is None and not [1 for update in updates if update.type != UPDATE]:
            objects = self._objects(updates)
            return self._frame(b"data: " + b"\n\ndata: ".join(objects) + b"\n\n")
        parts: list[bytes] = []
        for update in updates:
            if trail is not None:
                cursor = trail.follow(update.channel.feed.name, update.place or "")
                parts.append(f"id: {cursor}\n".encode())
            if update.type == GAP:
                fields = orjson.dumps(events.gap(update))
                parts.append(b"event: gap\ndata: %b\n\n" % fields)
                continue
            body = update.as_json_object or encode_object(update, self._encodings)
            parts.append(b"%bdata: %b\n\n" % (_named(update), body))
        return self._frame(b"".join(parts))

    def snapshot(self, updates: Sequence[Update]) -> bytes:
        """See :class:`tickfan.wire.base.Format`."""
        return self._frame(
            b"".join(
                [
                    b'%bdata: %b,"snapshot":true}\n\n' % (_named(update), encoded[:-1])
                    for update, encoded in zip(updates, self._objects(updates), strict=True)
                ]
            )
        )

    def event(self, name: str, fields: Mapping[str, Any], cursor: str | None = None) -> bytes:
        """See :class:`tickfan.wire.base.Format`."""
        mark = b"" if cursor is None else b"id: %b\n" % cursor.encode()
        return self._frame(
            b"event: %b\n%bdata: %b\n\n" % (name.encode(), mark, orjson.dumps(fields))
        )

    def opening(self, name: str, fields: Mapping[str, Any], retry_ms: int) -> bytes:
        """See :class:`tickfan.wire.base.Format`."""
        return self._frame(
            b"retry: %d\nevent: %b\ndata: %b\n\n" % (retry_ms, name.encode(), orjson.dumps(fields))
        )

    def _objects(self, updates: Sequence[Update]) -> list[bytes]:
        encodings = self._encodings
        return [update.as_json_object or encode_object(update, encodings) for update in updates]


def _named(update: Update) -> bytes:
    """The line that names the event of another type.

    A full state stays unnamed. A book needs it where the changes go, in ``onmessage``, and
    its JSON says what it is.
    """
    if update.type in (UPDATE, SNAPSHOT):
        return b""
    return b"event: %b\n" % update.type.encode()
