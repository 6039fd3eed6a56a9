"""What a client says until updates come, on each wire: requests and subscriptions.

Pure: bytes out. Must not know of sockets, nor what comes back but for its beginning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest.bench.load import LoadSpec

SUBSCRIBING = ("rows", "sse", "stomp")
"""Wires whose clients name channels; on the others connecting is enough."""

_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
_TEXT, _BINARY = 0x81, 0x82
_PROTOCOLS = {"rows": "tickfan.msgpack.v1", "stomp": "v12.stomp"}
_CONNECT = b"CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\nheart-beat:0,0\n\n\0"


def request(spec: LoadSpec, channels: Sequence[str]) -> bytes:
    """The HTTP request."""
    path = spec.path
    lines = ["Host: x"]
    if spec.wire in ("rows", "frames", "stomp"):
        lines += [
            "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {_KEY}",
        ]  # fmt: skip
        if spec.wire in _PROTOCOLS:
            lines.append(f"Sec-WebSocket-Protocol: {_PROTOCOLS[spec.wire]}")
    else:
        lines.append("Accept: text/event-stream")
        if channels:
            path += "?snapshot=0&channels=" + quote(",".join(channels), safe=",")
            if spec.interval_ms is not None:
                path += f"&interval_ms={spec.interval_ms}"
    return ("\r\n".join([f"GET {path} HTTP/1.1", *lines]) + "\r\n\r\n").encode()


def subscription(spec: LoadSpec, channels: Sequence[str]) -> bytes:
    """What follows once the server has answered the request."""
    if spec.wire == "rows":
        message: dict[str, Any] = {"op": "subscribe", "channels": channels, "snapshot": False}
        if spec.interval_ms is not None:
            message["interval_ms"] = spec.interval_ms
        return _frame(_BINARY, msgpack.packb(message))
    if spec.wire == "stomp":
        return _frame(_TEXT, _CONNECT) + b"".join(
            _frame(
                _TEXT,
                b"SUBSCRIBE\nid:%d\nreceipt:%d\nack:auto\ndestination:/exchange/prices/%b\n\n\0"
                % (index, index, channel.encode()),
            )
            for index, channel in enumerate(channels)
        )
    return b""


def is_confirmed(wire: str, channels: Sequence[str], answer: bytes) -> bool:
    """Whether updates may come, by what came after the response's head.

    RabbitMQ makes a queue for each subscription: what is published before its
    receipt is not for it. Raises :class:`ConnectionError` if it says no.
    """
    if wire != "stomp":
        return True
    if b"ERROR\n" in answer:
        raise ConnectionError(answer.decode(errors="replace"))
    return answer.count(b"RECEIPT\n") == len(channels)


def _frame(head: int, body: bytes) -> bytes:
    """A client's WebSocket frame; a mask of zeros leaves the body as it is."""
    assert len(body) < 65536
    size = bytes((0x80 | len(body),)) if len(body) < 126 else b"\xfe%b" % (
        len(body).to_bytes(2, "big"))  # fmt: skip
    return b"%c%b%b%b" % (head, size, bytes(4), body)
