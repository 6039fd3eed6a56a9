"""Newline-delimited JSON: one object a line, for scripts and other servers.

Updates are the same objects as on SSE; every other line has an ``event``. Must not know
HTTP beyond the framing that it is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from tickfan.core.update import GAP
from tickfan.wire import events
from tickfan.wire.objects import encode_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tickfan.core.cursor import Trail
    from tickfan.core.update import Update
    from tickfan.wire.base import Encodings


class Ndjson:
    """The NDJSON format. Lossless lines carry their cursor."""

    name = "ndjson"

    def __init__(self, frame: Callable[[bytes], bytes], encodings: Encodings) -> None:
        self._frame = frame
        self._encodings = encodings

    def live(self, updates: Sequence[Update], trail: Trail | None) -> bytes:
        """See :class:`tickfan.wire.base.Format`."""
        if trail is None:
            return self._frame(b"\n".join(self._objects(updates)) + b"\n")
        lines: list[bytes] = []
        for update in updates:
            cursor = trail.follow(update.channel.feed.name, update.place or "")
            if update.type == GAP:
                lines.append(_line("gap", events.gap(update), cursor))
                continue
            body = update.as_json_object or encode_object(update, self._encodings)
            lines.append(b'%b,"cursor":"%b"}\n' % (body[:-1], cursor.encode()))
        return self._frame(b"".join(lines))

    def snapshot(self, updates: Sequence[Update]) -> bytes:
        """See :class:`tickfan.wire.base.Format`."""
        return self._frame(
            b"".join([b'%b,"snapshot":true}\n' % body[:-1] for body in self._objects(updates)])
        )

    def event(self, name: str, fields: Mapping[str, Any], cursor: str | None = None) -> bytes:
        """See :class:`tickfan.wire.base.Format`."""
        return self._frame(_line(name, fields, cursor))

    def opening(self, name: str, fields: Mapping[str, Any], retry_ms: int) -> bytes:
        """See :class:`tickfan.wire.base.Format`."""
        return self._frame(_line(name, {**fields, "retry_ms": retry_ms}, None))

    def _objects(self, updates: Sequence[Update]) -> list[bytes]:
        encodings = self._encodings
        return [update.as_json_object or encode_object(update, encodings) for update in updates]


def _line(name: str, fields: Mapping[str, Any], cursor: str | None) -> bytes:
    line: dict[str, Any] = {"event": name, **fields}
    if cursor is not None:
        line["cursor"] = cursor
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
