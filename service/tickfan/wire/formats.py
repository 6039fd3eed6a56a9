"""All wire formats of one process, and which one a request gets.

Must not know requests beyond the HTTP version and a subprotocol's name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickfan.wire.base import Encodings
from tickfan.wire.eventstream import EventStream
from tickfan.wire.framing import chunk, plain
from tickfan.wire.messages import UPDATES_BYTES_MAX, JsonMessages, MsgpackMessages
from tickfan.wire.ndjson import Ndjson

if TYPE_CHECKING:
    from tickfan.wire.base import Format

MSGPACK_V1 = "tickfan.msgpack.v1"
JSON_V1 = "tickfan.json.v1"

FORMAT_NAMES = (EventStream.name, Ndjson.name, MsgpackMessages.name, JsonMessages.name)


class Formats:
    """One object for each format and framing; equal bytes come from equal objects."""

    def __init__(self, updates_bytes_max: int = UPDATES_BYTES_MAX) -> None:
        """A WebSocket message of several updates has at most ``updates_bytes_max`` bytes."""
        self.encodings = Encodings()
        self.updates_bytes_max = updates_bytes_max
        # Chunk framing follows the request: an HTTP/1.0 client (nginx's
        # default upstream version) would see chunk headers as text.
        self._sse = {True: EventStream(chunk, self.encodings),
                     False: EventStream(plain, self.encodings)}  # fmt: skip
        self._ndjson = {True: Ndjson(chunk, self.encodings),
                        False: Ndjson(plain, self.encodings)}  # fmt: skip
        self._websocket: dict[str, Format] = {
            MSGPACK_V1: MsgpackMessages(self.encodings, updates_bytes_max),
            JSON_V1: JsonMessages(self.encodings, updates_bytes_max),
        }

    def sse(self, *, chunked: bool) -> EventStream:
        """Server-Sent Events."""
        return self._sse[chunked]

    def ndjson(self, *, chunked: bool) -> Ndjson:
        """Newline-delimited JSON."""
        return self._ndjson[chunked]

    def websocket(self, subprotocol: str | None) -> Format:
        """The format of a subprotocol; MessagePack for a client that named none."""
        return self._websocket[subprotocol or MSGPACK_V1]
