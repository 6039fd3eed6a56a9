"""Reads what the encoders write, with parsers that are not ours.

Must not know how anything is encoded here: only the public formats.
"""

from __future__ import annotations

import io
import json
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import httpx
import msgpack
from httpx_sse import EventSource
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable
    from socket import socket

    from tickfan.core.update import Update


class Seen(NamedTuple):
    """One update or gap as a client of any wire sees it."""

    channel: str
    seq: int
    ts: int
    data: str
    """Its ``repr``: 1, 1.0 and True are three values, as are 0.0 and -0.0."""
    prev: int | None
    type: str
    snapshot: bool


def expected(updates: Iterable[Update], *, snapshot: bool = False) -> list[Seen]:
    """What a client is to see of these."""
    return [
        Seen(
            one.channel.name, one.seq, one.ts, repr(one.data), one.prev, one.type, snapshot
        )
        for one in updates
    ]  # fmt: skip


def cursors(updates: Iterable[Update], start: dict[str, str]) -> list[str]:
    """The cursor after each of the updates, by definition."""
    places, found = dict(start), []
    for one in updates:
        assert one.place is not None
        places[one.channel.feed.name] = one.place
        found.append("~".join(["1", *(places[feed] for feed in sorted(places))]))
    return found


class _Body:
    """A socket that has received all it will."""

    def __init__(self, received: bytes) -> None:
        self._received = received

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._received)


def dechunked(body: bytes) -> bytes:
    """The content of a chunked body, whose last chunk is added here; all of it must be used."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    response = HTTPResponse(cast("socket", _Body(head + body + b"0\r\n\r\n")))
    response.begin()
    content = response.read()
    assert response.isclosed()
    return content


class Event(NamedTuple):
    """One event of an SSE stream."""

    name: str
    id: str
    data: Any
    retry: int | None


def sse_events(body: bytes) -> list[Event]:
    """The events of a stream, by httpx-sse; ``id`` is the last one set, as in a browser."""
    response = httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=body)
    return [
        Event(event.event, event.id, json.loads(event.data), event.retry)
        for event in EventSource(response).iter_sse()
    ]


def ndjson_lines(body: bytes) -> list[Any]:
    """Every line's value; the last line must be ended too."""
    *lines, rest = body.split(b"\n")
    assert rest == b""
    return [json.loads(line) for line in lines]


def frames(data: bytes) -> list[Frame]:
    """The WebSocket frames in ``data``, by a client's parser; none may be cut off."""
    protocol = Protocol(CLIENT, max_size=None)
    protocol.receive_data(data)
    found = [cast("Frame", event) for event in protocol.events_received()]
    protocol.receive_eof()
    problem = str(protocol.parser_exc)
    assert problem == "unexpected end of stream", problem
    assert all(frame.fin for frame in found)
    return found


def messages(data: bytes) -> list[Any]:
    """The values of the messages in ``data``: text is JSON, binary is MessagePack."""
    return [
        json.loads(bytes(frame.data))
        if frame.opcode is Opcode.TEXT
        else msgpack.unpackb(bytes(frame.data))
        for frame in frames(data)
    ]


def seen_in_object(fields: dict[str, Any]) -> Seen:
    """An update from the JSON object of SSE and NDJSON; every field must be known."""
    known = {"channel", "seq", "ts", "data", "prev", "type", "snapshot", "cursor"}
    assert fields.keys() <= known
    return Seen(
        fields["channel"],
        fields["seq"],
        fields["ts"],
        repr(fields["data"]),
        fields.get("prev"),
        fields.get("type", "update"),
        fields.get("snapshot", False),
    )


def seen_in_gap(fields: dict[str, Any]) -> Seen:
    """A gap from its event's fields, on any wire."""
    assert fields.keys() - {"t", "c", "event", "cursor"} == {
        "channel", "seq", "prev", "ts", "reason",
    }  # fmt: skip
    return Seen(fields["channel"], fields["seq"], fields["ts"], repr(fields["reason"]),
                fields["prev"], "gap", snapshot=False)  # fmt: skip


def seen_in_row(row: list[Any], *, snapshot: bool) -> Seen:
    """An update from the row of a WebSocket batch."""
    assert 4 <= len(row) <= 6
    channel, seq, ts, data, *rest = row
    prev = rest[0] if rest else None
    type_ = rest[1] if len(rest) > 1 else "update"
    return Seen(channel, seq, ts, repr(data), prev, type_, snapshot)
