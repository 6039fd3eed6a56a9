"""Bytes of any wire back to events, by a reader that shares no code with the service.

A piece may end anywhere; what is not whole waits for the next. Must not know
where the bytes come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgpack
import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Event = dict[str, Any]
"""Any event with its name as ``event`` (updates: ``update``), a cursor as ``cursor``."""


def decoder(wire: str) -> Callable[[bytes], list[Event]]:
    """Takes pieces, returns the events that they complete."""
    decode = {"sse": _sse, "sse10": _sse, "ndjson": _lines}.get(wire)
    rest = bytearray()
    body = bytearray()
    source = body if wire in ("sse", "ndjson") else rest

    def feed(piece: bytes) -> list[Event]:
        rest.extend(piece)
        if source is body:
            for data in _chunks(rest):
                body.extend(data)
        if decode is not None:
            return list(decode(source))
        return list(_frames(source, as_text=wire == "json"))

    return feed


def _chunks(data: bytearray) -> Iterator[bytes]:
    while (at := data.find(b"\r\n")) >= 0:
        size = int(data[:at], 16)
        assert size, "an empty chunk ends the body"
        end = at + 2 + size
        if len(data) < end + 2:
            return
        assert data[end : end + 2] == b"\r\n", "a chunk of another length than it says"
        chunk = bytes(data[at + 2 : end])
        del data[: end + 2]
        yield chunk


def _sse(data: bytearray) -> Iterator[Event]:
    while (at := data.find(b"\n\n")) >= 0:
        event: Event = {"event": "update"}
        for line in data[:at].decode().split("\n"):
            name, _, value = line.partition(": ")
            if name == "data":
                event = {**orjson.loads(value), **event}
            else:
                event[{"id": "cursor"}.get(name, name)] = value
        del data[: at + 2]
        yield _typed(event)


def _lines(data: bytearray) -> Iterator[Event]:
    while (at := data.find(b"\n")) >= 0:
        event: Event = {"event": "update", **orjson.loads(bytes(data[:at]))}
        del data[: at + 1]
        yield event


def _frames(data: bytearray, *, as_text: bool) -> Iterator[Event]:
    while len(data) >= 2:
        size, head = data[1], 2
        if size > 125:
            head = 4 if size == 126 else 10
            size = int.from_bytes(data[2:head], "big")
        if len(data) < head + size:
            return
        first, body = data[0], bytes(data[head : head + size])
        del data[: head + size]
        if first == 0x89:
            yield {"event": "ping"}
            continue
        assert first == (0x81 if as_text else 0x82)
        yield from _rows(orjson.loads(body) if as_text else msgpack.unpackb(body))


def _rows(message: dict[str, Any]) -> Iterator[Event]:
    mark = {"cursor": message["c"]} if "c" in message else {}
    if message["t"] != "updates":
        yield {"event": message["t"], **message, **mark}
        return
    rows = message["u"]
    names = ("channel", "seq", "ts", "data", "prev", "type")
    for index, row in enumerate(rows):
        event = {"event": "update", **dict(zip(names, row, strict=False))}
        if message.get("snapshot"):
            event["snapshot"] = True
        yield event | mark if index == len(rows) - 1 else event


def _typed(event: Event) -> Event:
    # A named update on SSE: its JSON says the type too.
    return {**event, "event": "update"} if event["event"] == event.get("type") else event
