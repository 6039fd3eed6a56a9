"""The same for the public door: bytes to a running service, as HTTP and as WebSocket.

What decoders do alone is in ``decoders``; here HTTP's parser, the handlers and the answers are
between. The service is a process of its own.
"""

from __future__ import annotations

import atexit
import re
import socket
import struct
import tempfile
from functools import cache
from pathlib import Path

from loadtest.rig.process import ServiceProcess
from loadtest.rig.waiting import DEADLINE_S
from tests.fuzz.decoders import SUBSCRIBE, Decoder

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
_HOST = b" HTTP/1.1\r\nHost: a\r\n"


@cache
def service() -> ServiceProcess:
    """It has nothing but the embedded broker; it ends with this process.

    To be called before hypothesis runs: that seeds ``random``, by which free ports are
    looked for, so that two processes would find the same.
    """
    folder = tempfile.TemporaryDirectory(prefix="tickfan-fuzz-")
    started = ServiceProcess(Path(folder.name), {"STREAM__CLOSING_TIMEOUT_S": "0.1"})
    atexit.register(folder.cleanup)
    atexit.register(started.kill)
    return started.start()


def _upgrade(subprotocol: bytes, *frames: tuple[int, bytes]) -> bytes:
    sent = (
        b"GET /v1/ws" + _HOST + b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Protocol: " + subprotocol + b"\r\n\r\n"
    )
    for kind, body in frames:
        head = bytes((0x80 | kind,))
        head += bytes((0x80 | len(body),)) if len(body) < 126 else b"\xfe"
        head += struct.pack(">H", len(body)) if len(body) > 125 else b""
        sent += head + bytes(4) + body
    return sent


_SUBSCRIBE = str({**SUBSCRIBE, "snapshot": 1}).replace("'", '"').encode().replace(b": 1", b": true")


_SEEDS = (
    b"GET /v1/channels?pattern=trades.%23&limit=5&after=a" + _HOST + b"Accept: */*\r\n\r\n",
    b"GET /v1/sse?channels=trades.A,quotes.*&interval_ms=100" + _HOST
    + b"Last-Event-ID: 1~trades.a1.AAAAAAAAAAA\r\n\r\n",
    b"GET /v1/ndjson?channels=trades.A&until=done" + _HOST + b"\r\n",
    b"POST /v1/ndjson" + _HOST
    + b'Content-Type: application/json\r\nContent-Length: 24\r\n\r\n{"channels": ["a", "b"]}',
    b"POST /v1/channels/trades.A?type=tick&ts=1763596800123" + _HOST
    + b"Content-Type: application/json\r\nContent-Length: 15\r\n\r\n" + b'{"price":"1.5"}',
    b"POST /v1/channels/quotes.A%2FB" + _HOST + b"Content-Type: application/msgpack\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n4\r\n\x81\xa1a\x01\r\n0\r\n\r\n",
    b"GET /v1/channels/trades.A/history?format=csv&limit=9&bom=1" + _HOST
    + b"Accept-Encoding: gzip\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n",
    b"HEAD /" + _HOST + b"Accept: text/html\r\n\r\nGET /static/app.js" + _HOST + b"\r\n",
    _upgrade(b"tickfan.json.v1", (1, _SUBSCRIBE), (9, b"x"), (8, b"\3\xe8")),
    _upgrade(b"tickfan.msgpack.v1", (2, b"\x82\xa2op\xa4ping\xa2id\x07"), (8, b"")),
)  # fmt: skip


def http(data: bytes) -> None:
    """Bytes of one connection: answers, none of which says that the service failed; an end."""
    running = service()
    log = len(running.output)
    answer = b""
    with socket.create_connection(("127.0.0.1", running.port), DEADLINE_S) as client:
        client.settimeout(DEADLINE_S)
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)  # a client that says no more is gone
            while piece := client.recv(2**16):
                answer += piece
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was refused before all was sent
    for status in _STATUS.findall(answer):
        assert int(status) < 500, (status, answer[:300])
    said = running.output[log:]
    assert "Traceback" not in said, said[-2000:]
    assert running.process is not None
    assert running.process.poll() is None, running.output[-2000:]


DOORS = {"http": Decoder(http, _SEEDS)}
