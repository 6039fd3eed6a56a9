"""What attackers do, each at a pace that is bounded, until a time is over.

``python -m loadtest.hostile.attacks PORT SECONDS SCALE`` does all of it at once, from an
address of its own (127.0.0.2), and prints what it has done as JSON. Must not know who watches.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
import time
from collections import Counter
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

ADDRESS = "127.0.0.2"
"""Where attackers come from. The healthy come from 127.0.0.1."""

GONE = (ConnectionError, asyncio.IncompleteReadError, TimeoutError, OSError)
ANSWER_S = 5.0


class Attacker(NamedTuple):
    """One process's attack: where to, until when, how much of it, and what was done."""

    port: int
    until: float
    scale: float
    done: Counter[str]

    @property
    def goes_on(self) -> bool:
        """Whether there is time left."""
        return time.monotonic() < self.until

    def few(self, most: int) -> int:
        """So many of something whose full number is ``most``."""
        return max(1, int(most * self.scale))

    async def stay(self, writer: asyncio.StreamWriter) -> None:
        """Do no more on a connection, until the service has ended it or the time is over."""
        while self.goes_on and not writer.transport.is_closing():  # noqa: ASYNC110
            await asyncio.sleep(0.5)

    @asynccontextmanager
    async def wire(
        self, data: bytes = b"", *, receive_bytes: int | None = None
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection on which ``data`` has been sent."""
        sock = socket.socket()
        sock.setblocking(False)
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.bind((ADDRESS, 0))
        try:
            async with asyncio.timeout(ANSWER_S):
                await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
            reader, writer = await asyncio.open_connection(sock=sock, limit=2**16)
        except BaseException:
            sock.close()
            raise
        try:
            writer.write(data)
            yield reader, writer
        finally:
            writer.transport.abort()


def request(path: str, **headers: str) -> bytes:
    """A GET."""
    lines = [f"GET {path} HTTP/1.1", "Host: x", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def upgrade(subprotocol: str = "tickfan.json.v1") -> bytes:
    """A WebSocket's handshake."""
    return request(
        "/v1/ws", Connection="Upgrade", Upgrade="websocket", **{
            "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
            "Sec-WebSocket-Protocol": subprotocol,
        },
    )  # fmt: skip


def frame(kind: int, body: bytes, *, is_last: bool = True, size: int | None = None) -> bytes:
    """A client's frame, masked with zeros; ``size`` may lie."""
    size = len(body) if size is None else size
    head = bytes((0x80 * is_last | kind,))
    if size < 126:
        head += bytes((0x80 | size,))
    elif size < 2**16:
        head += struct.pack("!BH", 0x80 | 126, size)
    else:
        head += struct.pack("!BQ", 0x80 | 127, size)
    return head + bytes(4) + body


def command(**fields: object) -> bytes:
    """A command as a frame of text."""
    return frame(1, json.dumps(fields).encode())


BOMBS = (
    (2, b"\xdd\x00\x00\x0f\xff" * 800),  # headers of arrays, each for 4,095 entries
    (2, b"\x91" * 4000),
    (2, b"\xdf\x7f\xff\xff\xff" * 100),
    (1, b"[" * 16_000),
    (1, b'{"a":' * 3000),
    (1, b'{"op":"subscribe","channels":[' + b'"",' * 4000 + b'"a"]}'),
    (1, b"\xff\xfe\xed\xa0\x80"),
    (1, b'{"op":"subscribe","channels":["a\\u0000\\r\\nb"]}'),
    (1, b'{"op":"subscribe","channels":["trades.A"],"cursor":"' + b"9" * 12_000 + b'"}'),
)  # fmt: skip


async def bombs(attacker: Attacker) -> None:
    """Bodies that are small on the wire and large in a decoder, and frames that lie."""
    for number in count():
        if not attacker.goes_on:
            return
        kind, body = BOMBS[number % len(BOMBS)]
        protocol = "tickfan.msgpack.v1" if kind == 2 else "tickfan.json.v1"
        with suppress(*GONE):
            async with attacker.wire(upgrade(protocol)) as (reader, writer):
                await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), ANSWER_S)
                for _ in range(5):
                    writer.write(frame(kind, body))
                writer.write(frame(kind, b"x" * 70_000))  # above the hard limit
                writer.write(frame(kind, b"x", is_last=False) + frame(0, b"y", size=2**62))
                await asyncio.wait_for(reader.read(2**16), ANSWER_S)
                attacker.done["bombs"] += 1
        await asyncio.sleep(0.05)


async def wildcards(attacker: Attacker) -> None:
    """Patterns whose words are in all names, on WebSockets and in URLs."""
    for number in count():
        if not attacker.goes_on:
            return
        texts = [f"*.#.z{number}x{each}" for each in range(20)] + ["#.a.#.b.#", "*.*.#"]
        with suppress(*GONE):
            async with attacker.wire(upgrade()) as (reader, writer):
                await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), ANSWER_S)
                writer.write(command(op="subscribe", channels=texts))
                await asyncio.wait_for(reader.read(2**16), ANSWER_S)
                attacker.done["wildcards"] += 1
            path = "/v1/sse?channels=" + ",".join(f"*.%23.y{number}x{each}" for each in range(5))
            async with attacker.wire(request(path)) as (reader, _):
                await asyncio.wait_for(reader.read(2**16), ANSWER_S)
        await asyncio.sleep(0.05)


async def churn(attacker: Attacker) -> None:
    """Subscribe and unsubscribe, as fast as it is answered; and pings in between."""
    while attacker.goes_on:
        with suppress(*GONE):
            async with attacker.wire(upgrade()) as (reader, writer):
                await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), ANSWER_S)
                while attacker.goes_on:
                    writer.write(command(op="subscribe", channels=["trades.#"], snapshot=False))
                    writer.write(command(op="unsubscribe", channels=["trades.#"]))
                    writer.write(frame(9, b"") * 20)
                    await asyncio.wait_for(writer.drain(), ANSWER_S)
                    await asyncio.wait_for(reader.read(2**16), ANSWER_S)
                    attacker.done["churn"] += 1
                    await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)


async def slow_headers(attacker: Attacker) -> None:
    """Sockets on which a request never ends."""

    async def one() -> None:
        while attacker.goes_on:
            with suppress(*GONE):
                async with attacker.wire(b"GET /v1/sse HTTP/1.1\r\n") as (reader, writer):
                    attacker.done["slow headers"] += 1
                    while attacker.goes_on and not reader.at_eof():
                        writer.write(b"X: y\r\n")
                        await asyncio.sleep(2)
            await asyncio.sleep(1)

    await together(one, attacker.few(1000))


async def unread_rest(attacker: Attacker) -> None:
    """Long lists and histories that nobody reads."""
    paths = ("/v1/channels?limit=10000", "/v1/channels/trades.H/history?limit=10000")

    async def one() -> None:
        for number in count():
            if not attacker.goes_on:
                return
            with suppress(*GONE):
                path = request(paths[number % 2])
                async with attacker.wire(path, receive_bytes=2048) as (_, writer):
                    attacker.done["unread REST"] += 1
                    await attacker.stay(writer)
            await asyncio.sleep(1)

    await together(one, attacker.few(60))


async def unread_snapshots(attacker: Attacker) -> None:
    """The snapshots of all channels, asked for again and again, and read by nobody."""

    async def one() -> None:
        with suppress(*GONE):
            async with attacker.wire(upgrade(), receive_bytes=2048) as (reader, writer):
                await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), ANSWER_S)
                reader._transport.pause_reading()  # type: ignore[attr-defined] # noqa: SLF001
                for _ in range(40):
                    writer.write(command(op="subscribe", channels=["quotes.#"]))
                attacker.done["unread snapshots"] += 1
                await attacker.stay(writer)

    await together(one, attacker.few(10))


async def handshakes(attacker: Attacker) -> None:
    """Streams that are asked for and left at once, and bytes that are no HTTP."""
    garbage = (b"\x16\x03\x01\x02\x00\x01\x00" * 50, b"\0" * 500, b"GET\r\n\r\n", b"A" * 9000)
    for number in count():
        if not attacker.goes_on:
            return
        with suppress(*GONE):
            data = request("/v1/sse?channels=trades.H")
            if number % 4 == 0:
                data = garbage[number // 4 % len(garbage)] + b"\r\n\r\n"
            async with attacker.wire(data) as (reader, _):
                await asyncio.wait_for(reader.read(200), ANSWER_S)
                attacker.done["handshakes"] += 1
        await asyncio.sleep(0.01)


async def together(one: Callable[[], Coroutine[Any, Any, None]], number: int) -> None:
    """Do something so many times at once."""
    async with asyncio.TaskGroup() as tasks:
        for _ in range(number):
            tasks.create_task(one())


ATTACKS = (
    bombs, wildcards, churn, slow_headers, unread_rest, unread_snapshots, handshakes,
)  # fmt: skip


async def attack(port: int, seconds: float, scale: float) -> Counter[str]:
    """Do all of it at once; how often each was done."""
    attacker = Attacker(port, time.monotonic() + seconds, scale, Counter())
    async with asyncio.TaskGroup() as tasks:
        for each in ATTACKS:
            tasks.create_task(each(attacker), name=each.__name__)
    return attacker.done


def main() -> None:
    """The command line."""
    port, seconds, scale = sys.argv[1:]
    done = asyncio.run(attack(int(port), float(seconds), float(scale)))
    sys.stdout.write(json.dumps(done) + "\n")


if __name__ == "__main__":
    main()
