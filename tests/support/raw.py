"""A client without a library: the bytes on the wire, as they are.

Client libraries repair and hide; these do not. Must not know what is tested.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from loadtest.rig.waiting import DEADLINE_S

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Mapping

    from tests.support.live import Live

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


class Frame(NamedTuple):
    """One WebSocket frame."""

    opcode: int
    body: bytes

    @property
    def code(self) -> int:
        """The code of a close frame."""
        return int.from_bytes(self.body[:2], "big")


class Wire:
    """One TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def head(self) -> tuple[int, dict[str, str]]:
        """The status and the headers of a response, names in lower case."""
        head = await self.up_to(b"\r\n\r\n")
        status, *lines = head.decode().rstrip().split("\r\n")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            assert name.lower() not in headers, f"{name} comes twice"
            headers[name.lower()] = value.strip()
        return int(status.split()[1]), headers

    async def up_to(self, mark: bytes) -> bytes:
        """All bytes up to and with ``mark``."""
        return await asyncio.wait_for(self._reader.readuntil(mark), DEADLINE_S)

    async def some(self, size: int = 2**16) -> bytes:
        """What is there, at most ``size`` bytes; waits for the first."""
        return await asyncio.wait_for(self._reader.read(size), DEADLINE_S)

    async def rest(self) -> bytes:
        """All bytes until the other side closes."""
        return await asyncio.wait_for(self._reader.read(), DEADLINE_S)

    async def frame(self) -> Frame:
        """The next WebSocket frame of a server: unmasked, final, without extensions."""
        first, second = await asyncio.wait_for(self._reader.readexactly(2), DEADLINE_S)
        assert not second & 0x80, "a server does not mask"
        assert first & 0xF0 == 0x80, "final, no extension bits"
        size = second & 0x7F
        if size > 125:
            size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8), "big")
        return Frame(first & 0x0F, await self._reader.readexactly(size))

    def send_frame(self, opcode: int, body: bytes) -> None:
        """A client's frame, masked with zeros."""
        size = len(body)
        head = bytes((0x80 | opcode,))
        if size < 126:
            head += bytes((0x80 | size,))
        elif size < 65536:
            head += struct.pack("!BH", 0x80 | 126, size)
        else:
            head += struct.pack("!BQ", 0x80 | 127, size)
        self.send(head + bytes(4) + body)

    def cut(self) -> None:
        """Reset the connection: no FIN, an RST."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        abort(self._writer)


def abort(writer: asyncio.StreamWriter) -> None:
    """End a connection now, also one with TLS that is over already.

    The transport of such a one has no protocol any more, and asyncio of Python 3.11.2 asks it.
    """
    with contextlib.suppress(AttributeError):
        writer.transport.abort()


@contextlib.asynccontextmanager
async def connect(
    live: Live | int,
    data: bytes = b"",
    *,
    receive_bytes: int | None = None,
    tls: bool | ssl.SSLContext = True,
) -> AsyncIterator[Wire]:
    """Connect to the public listener (or a port of this machine) and send ``data``.

    With TLS, if the service has it and ``tls`` is not false, or is what the client trusts.

    ``receive_bytes`` is the size of the receive buffer: a small one lets a
    client that does not read be felt at once.
    """
    sock = socket.socket()
    sock.setblocking(False)
    if receive_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    port = live if isinstance(live, int) else live.client.port
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    limit = 2**16 if receive_bytes is None else 1024
    if isinstance(tls, bool):
        trust = None if isinstance(live, int) or not tls else live.trust
    else:
        trust = tls
    reader, writer = await asyncio.open_connection(
        sock=sock, limit=limit, ssl=trust, server_hostname=None if trust is None else "127.0.0.1"
    )
    try:
        writer.write(data)
        yield Wire(reader, writer)
    finally:
        writer.close()
        if trust is not None:  # asyncio would wait for the other side's last word for 30 s
            abort(writer)
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def request(path: str, *, method: str = "GET", version: str = "1.1", **headers: str) -> bytes:
    """A request without a body; ``_`` in header names stands for ``-``.

    A value of several lines becomes as many header lines of that name.
    """
    lines = [f"{method} {path} HTTP/{version}", "Host: x"]
    for name, value in headers.items():
        lines += [f"{name.replace('_', '-')}: {line}" for line in value.split("\n")]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def upgrade(
    subprotocol: str | None = "tickfan.json.v1", *, version: str = "1.1", **headers: str
) -> bytes:
    """A WebSocket handshake (RFC 6455, section 4.1)."""
    fields = {
        "Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==", **headers,
    }  # fmt: skip
    if subprotocol is not None:
        fields["Sec_WebSocket_Protocol"] = subprotocol
    return request("/v1/ws", version=version, **fields)


def chunks(body: bytes) -> list[bytes]:
    """The chunks of a complete chunked body; fails on any byte out of place (RFC 9112, 7.1)."""
    found: list[bytes] = []
    while True:
        size_text, mark, rest = body.partition(b"\r\n")
        assert mark, f"no chunk header: {body[:40]!r}"
        assert size_text.strip() == size_text, f"no chunk header: {size_text!r}"
        size = int(size_text, 16)
        chunk, end, body = rest[:size], rest[size : size + 2], rest[size + 2 :]
        assert (len(chunk), end) == (size, b"\r\n"), f"a broken chunk: {rest[:40]!r}"
        if not size:
            assert body == b"", f"bytes after the last chunk: {body[:200]!r}"
            return found
        found.append(chunk)


def events(body: bytes) -> list[dict[str, Any]]:
    """The events of a complete SSE body: ``event``, ``id``, ``retry`` and the data's fields."""
    found = []
    for block in body.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        if fields:
            data: Mapping[str, Any] = orjson.loads(fields.pop("data"))
            found.append({"event": "update", **fields, **data})
    return found
