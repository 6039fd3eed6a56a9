"""The two wires as blocking readers, which gevent makes cooperative.

They read by themselves: what a load test finds must not rest on our own
client. Must not know locust, nor what is made of the messages.
"""

from __future__ import annotations

import contextlib
import http.client
import json
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import msgpack
import websocket

from loadtest.locust.chains import Update

if TYPE_CHECKING:
    from collections.abc import Sequence

SILENCE_S = 40.0
"""Longer than two heartbeats: who hears nothing for so long has lost its connection."""
READ_BYTES = 65_536


class Lost(Exception):
    """The connection was refused, cut, or ended without a word."""


class Message(NamedTuple):
    """One event: its fields, the updates in it, and the cursor after it."""

    name: str
    body: dict[str, Any]
    updates: Sequence[Update] = ()
    cursor: str | None = None

    @property
    def is_snapshot(self) -> bool:
        """Whether its updates are the state before the live ones."""
        return "snapshot" in self.body


class Request(NamedTuple):
    """What to subscribe to, and where to go on."""

    host: str
    channels: Sequence[str]
    interval_ms: int
    cursor: str | None


class Wire(Protocol):
    """An open connection. ``read`` waits, and raises :class:`Lost`."""

    def read(self) -> tuple[list[Message], int]:
        """What came next, and its size in bytes."""

    def close(self) -> None:
        """Leave."""


class EventStream:
    """Server-Sent Events, as POST /v1/sse gives them. Raises :class:`Lost`."""

    def __init__(self, request: Request) -> None:
        url = urlsplit(request.host)
        tls = url.scheme == "https"
        make = http.client.HTTPSConnection if tls else http.client.HTTPConnection
        self._connection = make(url.netloc, timeout=SILENCE_S)
        self._rest = b""
        body: dict[str, Any] = {
            "channels": list(request.channels),
            "interval_ms": request.interval_ms,
        }
        if request.cursor is not None:
            body["cursor"] = request.cursor
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        try:
            self._connection.request("POST", f"{url.path}/v1/sse", json.dumps(body), headers)
            self._response = self._connection.getresponse()
            refusal = None
            if self._response.status != http.client.OK:
                refusal = self._response.read(500).decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Lost(str(error) or type(error).__name__) from error
        if refusal is not None:
            self.close()
            raise Lost(f"{self._response.status}: {refusal}")

    def read(self) -> tuple[list[Message], int]:
        """The events that the next piece completes."""
        try:
            piece = self._response.read1(READ_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise Lost(str(error) or type(error).__name__) from error
        if not piece:
            raise Lost("the stream ended")
        *whole, self._rest = (self._rest + piece).split(b"\n\n")
        messages = [_event(text) for text in whole]
        return [message for message in messages if message is not None], len(piece)

    def close(self) -> None:
        """Cut the connection: how one leaves a stream."""
        self._connection.close()


def _event(text: bytes) -> Message | None:
    """One event; None for one without data, such as the one that sets `retry`."""
    name, cursor, data = "", None, []
    for line in text.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode()
        elif field == b"id":
            cursor = value.decode()
    if not data:
        return None
    body = json.loads(b"\n".join(data))
    if name == "gap" or "seq" not in body:
        return Message(name, body, (), cursor)
    update = Update(body["channel"], body["seq"], body["ts"], body.get("prev"))
    return Message("updates", body, (update,), cursor)


class PriceSocket:
    """MessagePack over a WebSocket. Raises :class:`Lost`."""

    def __init__(self, request: Request) -> None:
        command: dict[str, Any] = {
            "op": "subscribe",
            "id": 1,
            "channels": list(request.channels),
            "interval_ms": request.interval_ms,
        }
        if request.cursor is not None:
            command["cursor"] = request.cursor
        url = f"ws{request.host.removeprefix('http')}/v1/ws"
        try:
            self._socket = websocket.create_connection(
                url, timeout=SILENCE_S, subprotocols=["tickfan.msgpack.v1"]
            )
            self._socket.send_binary(msgpack.packb(command))
        except (OSError, websocket.WebSocketException) as error:
            raise Lost(str(error) or type(error).__name__) from error

    def read(self) -> tuple[list[Message], int]:
        """The next message."""
        try:
            data = self._socket.recv()
        except (OSError, websocket.WebSocketException) as error:
            raise Lost(str(error) or type(error).__name__) from error
        if not data:
            raise Lost("the socket was closed")
        body = msgpack.unpackb(data)
        rows = (Update(*row[:3], *row[4:5]) for row in body.get("u", ()))
        return [Message(body["t"], body, tuple(rows), body.get("c"))], len(data)

    def close(self) -> None:
        """Say so and leave, without waiting for the answer."""
        with contextlib.suppress(OSError, websocket.WebSocketException):
            self._socket.send_close()
        self._socket.shutdown()  # type: ignore[no-untyped-call]
