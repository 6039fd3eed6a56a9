"""Which format a request gets, and what is shared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.updates import conflated_feed, update
from tests.unit.wire.readers import dechunked, ndjson_lines, sse_events
from tickfan.wire.formats import JSON_V1, MSGPACK_V1, Formats

if TYPE_CHECKING:
    from tickfan.wire.base import Format


def asked(formats: Formats) -> list[Format]:
    """All there are, each as a transport asks for it."""
    return [
        formats.sse(chunked=True),
        formats.sse(chunked=False),
        formats.ndjson(chunked=True),
        formats.ndjson(chunked=False),
        formats.websocket(MSGPACK_V1),
        formats.websocket(JSON_V1),
    ]


def test_equal_bytes_come_from_equal_objects() -> None:
    """Audiences are keyed by the format object: one for each format and framing."""
    formats = Formats()
    objects, again = asked(formats), asked(formats)
    assert all(one is other for one, other in zip(objects, again, strict=True))
    assert len({id(one) for one in objects}) == 6
    names = ["sse", "sse", "ndjson", "ndjson", "ws.msgpack", "ws.json"]
    assert [one.name for one in objects] == names


def test_msgpack_for_who_names_nothing() -> None:
    """The default subprotocol; one that is not ours is the caller's mistake."""
    formats = Formats()
    assert formats.websocket(None) is formats.websocket(MSGPACK_V1)
    with pytest.raises(KeyError):
        formats.websocket("tickfan.msgpack.v2")


def test_framing_follows_the_http_version() -> None:
    """The same content in chunks and without."""
    formats, one = Formats(), update(conflated_feed())
    for chunked, bare in (
        (formats.sse(chunked=True), formats.sse(chunked=False)),
        (formats.ndjson(chunked=True), formats.ndjson(chunked=False)),
    ):
        assert dechunked(chunked.live([one], None)) == bare.live([one], None)


def test_once_for_each_encoder() -> None:
    """SSE and NDJSON share an object, chunked or not; each WebSocket format has its row."""
    formats, one = Formats(), update(conflated_feed())
    for _ in range(3):
        for chunked in (True, False):
            formats.sse(chunked=chunked).live([one], None)
            formats.sse(chunked=chunked).snapshot([one])
            formats.ndjson(chunked=chunked).live([one], None)
            formats.ndjson(chunked=chunked).snapshot([one])
        for name in (MSGPACK_V1, JSON_V1):
            formats.websocket(name).live([one], None)
            formats.websocket(name).snapshot([one])
    counted = formats.encodings
    assert (counted.json_objects, counted.json_rows, counted.msgpack_rows) == (1, 1, 1)


def test_the_readers_agree() -> None:
    """One update, two wires, one object."""
    formats, one = Formats(), update(conflated_feed(), data={"a": "\r\n"})
    (event,) = sse_events(formats.sse(chunked=False).live([one], None))
    assert ndjson_lines(formats.ndjson(chunked=False).live([one], None)) == [event.data]
