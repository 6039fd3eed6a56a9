"""Writes raw bytes into a stream, as publishers do that speak RabbitMQ's stream protocol.

Only what one message takes. The format is that of RabbitMQ's ``PROTOCOL.adoc``
(rabbitmq_stream). RabbitMQ takes the bytes as they are, also such that no AMQP client can
be given. Must not know what is tested.
"""

from __future__ import annotations

import asyncio
from struct import pack, unpack

_DECLARE_PUBLISHER, _PUBLISH, _CONFIRM = 1, 2, 3
_PEER_PROPERTIES, _SASL_HANDSHAKE, _SASL_AUTHENTICATE, _TUNE, _OPEN = 17, 18, 19, 20, 21
_RESPONSE = 0x8000


async def write_raw(port: int, stream: str, *messages: bytes) -> None:
    """Write the messages into the stream, and wait for their confirm."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    def send(key: int, body: bytes) -> None:
        frame = pack(">HH", key, 1) + body
        writer.write(pack(">I", len(frame)) + frame)

    async def read(key: int) -> bytes:
        while True:
            (size,) = unpack(">I", await reader.readexactly(4))
            frame = await reader.readexactly(size)
            got, _ = unpack(">HH", frame[:4])
            if got & ~_RESPONSE == key:
                return frame[4:]

    async def ask(key: int, correlation: int, body: bytes) -> None:
        send(key, pack(">I", correlation) + body)
        _, code = unpack(">IH", (await read(key))[:6])
        assert code == 1, f"command {key} was answered by {code}"

    try:
        await ask(_PEER_PROPERTIES, 1, pack(">I", 0))
        await ask(_SASL_HANDSHAKE, 2, b"")
        await ask(_SASL_AUTHENTICATE, 3, _text("PLAIN") + _bytes(b"\0guest\0guest"))
        send(_TUNE, await read(_TUNE))  # agree to what it proposes
        await ask(_OPEN, 4, _text("/"))
        await ask(_DECLARE_PUBLISHER, 5, b"\x01" + _text("") + _text(stream))
        entries = b"".join(pack(">Q", at) + _bytes(each) for at, each in enumerate(messages))
        send(_PUBLISH, b"\x01" + pack(">I", len(messages)) + entries)
        confirmed = 0
        while confirmed < len(messages):
            _, count = unpack(">BI", (await read(_CONFIRM))[:5])
            confirmed += count
    finally:
        writer.close()


def _text(text: str) -> bytes:
    return pack(">H", len(text)) + text.encode()


def _bytes(data: bytes) -> bytes:
    return pack(">I", len(data)) + data
