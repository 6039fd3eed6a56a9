"""What the fan-out asks of a wire format.

Must not know any one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tickfan.core.cursor import Trail
    from tickfan.core.update import Update


class Format(Protocol):
    """One wire format with its framing: every method returns bytes ready to write.

    Two connections may share bytes if they have the same format object.
    """

    name: str
    """``sse``, ``ndjson``, ``ws.msgpack`` or ``ws.json``; a metric's label."""

    def live(self, updates: Sequence[Update], trail: Trail | None) -> bytes:
        """At least one update, in order; ``trail`` (lossless only) steps over each."""

    def snapshot(self, updates: Sequence[Update]) -> bytes:
        """At least one update, marked as a snapshot; they carry no cursor."""

    def event(self, name: str, fields: Mapping[str, Any], cursor: str | None = None) -> bytes:
        """Any other event. ``cursor`` is set where a client may resume from it."""

    def opening(self, name: str, fields: Mapping[str, Any], retry_ms: int) -> bytes:
        """The first event, with the reconnect delay where the wire has one."""


class Encodings:
    """Counts the updates that each encoder had to encode.

    The shape of the cost rests on "once for each wire format"; tests and the
    metrics read it here.
    """

    __slots__ = ("json_objects", "json_rows", "msgpack_rows")

    def __init__(self) -> None:
        self.json_objects = 0
        self.json_rows = 0
        self.msgpack_rows = 0

    @property
    def total(self) -> int:
        """All encodings together."""
        return self.json_objects + self.json_rows + self.msgpack_rows
