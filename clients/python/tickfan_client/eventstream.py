"""Server-Sent Events from bytes, in any pieces.

Source: the WHATWG HTML standard, "Server-sent events", sections 9.2.5 and
9.2.6 (parsing and interpreting an event stream). Must not know HTTP, nor what
an event means here.
"""

from __future__ import annotations

from typing import NamedTuple

from tickfan_client.errors import ProtocolError
from tickfan_client.lines import LINE_BYTES_MAX, Lines

_BOM = b"\xef\xbb\xbf"


class ServerSentEvent(NamedTuple):
    """One dispatched event. ``last_event_id`` stays until another id comes."""

    event: str
    data: str
    last_event_id: str


class EventStream:
    """An incremental parser. An event without its closing blank line is none.

    ``retry_ms`` is the newest reconnection time that the stream gave.
    """

    def __init__(self, event_bytes_max: int = LINE_BYTES_MAX) -> None:
        self.retry_ms: int | None = None
        self._lines = Lines(event_bytes_max)
        self._event_bytes_max = event_bytes_max
        self._is_first = True
        self._event = ""
        self._data: list[str] = []
        self._size = 0
        self._id = ""

    def feed(self, piece: bytes) -> list[ServerSentEvent]:
        """The events that ``piece`` completes.

        Raises :class:`ProtocolError` if a line or an event outgrows the limit.
        """
        events: list[ServerSentEvent] = []
        for raw in self._lines.feed(piece):
            line = raw
            if self._is_first:
                self._is_first = False
                line = raw.removeprefix(_BOM)
            if line:
                self._field(line)
            elif self._data:
                events.append(
                    ServerSentEvent(self._event or "message", "\n".join(self._data), self._id)
                )
                self._clear()
            else:
                self._clear()
        return events

    def _clear(self) -> None:
        self._event = ""
        self._data = []
        self._size = 0

    def _field(self, line: bytes) -> None:
        # A comment starts with a colon: its field has no name, so it falls through.
        name, _, value = line.decode(errors="replace").partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._size += len(line)
                if self._size > self._event_bytes_max:
                    raise ProtocolError(f"an event is longer than {self._event_bytes_max} bytes")
                self._data.append(value)
            case "event":
                self._event = value
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit() and len(value) < 16:
                self.retry_ms = int(value)
