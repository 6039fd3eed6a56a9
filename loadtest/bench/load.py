"""The load clients: one process, one epoll, many sockets.

`python -m loadtest.bench.load '<spec as JSON>'`. It answers each line on its
standard input with one line of JSON: ``open <n>`` (connect so many more),
``mark`` (what came since the last mark), ``stall`` and ``wake`` (all clients
stop and go on reading), ``unread`` (what waits in their kernel buffers),
``finish {...}`` (the publisher's final numbers; answers what was found wrong).
Raw sockets, because a client library would cost more than the server.

Clients that decode are a process of their own, ahead of the others: their ages
are those of a client that has nothing else to do. All read at once what comes:
a reader that takes its time spares the server its wake-ups and its ACKs, and
nchan, which leaves Nagle's algorithm on, most of its packets.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import gc
import json
import os
import random
import select
import socket
import ssl
import sys
import termios
import time
from dataclasses import asdict, dataclass, field
from io import FileIO
from typing import Any

from loadtest.bench.counting import Counter, counter
from loadtest.bench.decoding import Decoder
from loadtest.bench.greeting import is_confirmed, request, subscription
from loadtest.bench.histogram import Histogram
from loadtest.bench.machine import with_tls

RECEIVE_BYTES = 512 * 1024
AWAKE_BYTES = 2048
CONNECTING_MAX = 128
CONNECT_TIMEOUT_S = 120.0
NICE_DECODING, NICE_COUNTING = -10, 0
IP_BIND_ADDRESS_NO_PORT = 24
"""ip(7); not in the socket module before Python 3.14."""
_PONG = b"\x8a\x80\0\0\0\0"
_IN_PROGRESS = (0, errno.EINPROGRESS)


@dataclass(frozen=True)
class LoadSpec:
    """What one process of clients does.

    ``wire``: see :func:`.counting.counter`. ``decode``: the clients decode and
    check all they get, else they count. ``channels`` of each client; or, with
    ``each``, that many of them at random, in ``layouts`` different choices (0: each
    client its own). ``source``: the address they connect
    from, as one address has some 28,000 ports. ``tls``: with TLS, whatever the certificate.
    """

    port: int
    path: str
    wire: str
    decode: bool = False
    lossless: bool = True
    channels: list[str] = field(default_factory=list)
    each: int = 0
    layouts: int = 0
    interval_ms: int | None = None
    source: str = "127.0.0.1"
    seed: int = 0
    tls: bool = False

    def text(self) -> str:
        """As JSON, for the command line."""
        return json.dumps(asdict(self))


class Client:
    """One connection, from its connect on."""

    __slots__ = (
        "_head", "_is_subscribed", "_spec", "bytes", "channels", "counter", "decoder", "is_open",
        "old_bytes", "sock", "stalled_after_us", "woken_bytes",
    )  # fmt: skip

    def __init__(self, spec: LoadSpec, index: int) -> None:
        self._spec = spec
        choice = spec.seed * 1_000_003 + index
        pick = random.Random(choice % spec.layouts if spec.layouts else choice)
        self.channels = pick.sample(spec.channels, spec.each) if spec.each else spec.channels
        self.bytes = 0
        self.is_open = False
        self._head = b""
        self._is_subscribed = False
        self.decoder = Decoder(spec.wire, lossless=spec.lossless) if spec.decode else None
        self.counter: Counter = self.decoder or counter(spec.wire)
        self.stalled_after_us = 0
        self.woken_bytes = self.old_bytes = 0
        self.sock = socket.socket()
        self.sock.setblocking(False)
        # The port is found at the connect: a bind searches among all, also those that
        # wait to be reused, and took 4 ms after a few runs.
        self.sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        self.sock.bind((spec.source, 0))
        answer = self.sock.connect_ex(("127.0.0.1", spec.port))
        if answer not in _IN_PROGRESS:
            raise OSError(answer, os.strerror(answer))

    def greet(self) -> None:
        """The socket is connected: send the request."""
        spec = self._spec
        if spec.wire == "bytes":
            self.is_open = True
            return
        if spec.tls:
            self.sock = with_tls(self.sock)
        self.sock.sendall(request(spec, self.channels))

    def take(self, data: memoryview) -> None:
        """Bytes from the server."""
        if not self.is_open:
            rest = self._answered(data)
            if not rest:
                return
            data = memoryview(rest)
        self.bytes += len(data)
        pings = self.counter.pings
        if self.decoder is not None:
            self.decoder.feed(data, time.monotonic_ns() // 1000)
            if self.stalled_after_us and self.decoder.ledger.newest_us < self.stalled_after_us:
                # A frame of which a part is here may be fresh.
                self.woken_bytes += len(data)
                self.old_bytes = self.woken_bytes - self.decoder.pending
        else:
            self.counter.feed(data)
        if self.counter.pings > pings:
            self.sock.send(_PONG * (self.counter.pings - pings))

    def _answered(self, data: memoryview) -> bytes:
        """Take bytes of the server's answer; what came after it once it is whole."""
        spec = self._spec
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end:
            return b""
        if not self._is_subscribed:
            status = head.split(b" ", 2)[1]
            if status not in (b"101", b"200"):
                raise ConnectionError(f"{head.decode()}\n{rest.decode()}")
            if self.decoder is not None:
                self.decoder.chunked = b"chunked" in head.lower()
            self.sock.sendall(subscription(spec, self.channels))
            self._is_subscribed = True
        if not is_confirmed(spec.wire, self.channels, rest):
            return b""
        self.is_open = True
        self._head = b""
        return rest

    def is_complete(self, final: dict[str, int]) -> bool:
        """Whether as many came as were published, by ``final``, on its channels."""
        return self.counter.updates == sum(final.get(channel, 0) for channel in self.channels)

    @property
    def unread_bytes(self) -> int:
        """What lies in this end's kernel buffer."""
        size = array.array("i", [0])
        fcntl.ioctl(self.sock, termios.FIONREAD, size)
        return size[0]


def account(spec: LoadSpec, clients: list[Client], final: dict[str, int]) -> dict[str, Any]:
    """What came to the clients, and what of it is wrong by the publisher's ``final`` numbers."""
    wrong: dict[str, int] = {}
    decoded = 0
    for client in clients:
        if client.decoder is None:
            continue
        client.decoder.ledger.finish(final)
        decoded += client.decoder.updates
        for what, count in client.decoder.ledger.wrong.items():
            wrong[what] = wrong.get(what, 0) + count
    counts = [client.counter.updates for client in clients]
    if spec.lossless and spec.each and final:
        incomplete = sum(not client.is_complete(final) for client in clients)
        if incomplete:
            wrong["clients without all"] = incomplete
    return {
        "least": min(counts, default=0),
        "most": max(counts, default=0),
        "decoded": decoded,
        "wrong": wrong,
        "old_bytes": [client.old_bytes for client in clients],
    }


class Load:
    """All clients of the process."""

    def __init__(self, spec: LoadSpec) -> None:
        self._spec = spec
        self._epoll = select.epoll()
        self._clients: dict[int, Client] = {}
        self._order: list[Client] = []
        self._buffer = bytearray(RECEIVE_BYTES)
        self._view = memoryview(self._buffer)
        self._marked = (0, 0)
        self._lost = 0

    def _open(self, count: int) -> float:
        """Connect ``count`` more, some at a time; returns the seconds it took."""
        began = time.monotonic()
        waiting: set[int] = set()
        opening: set[int] = set()
        left = count
        while left or waiting or opening:
            while left and len(waiting) + len(opening) < CONNECTING_MAX:
                client = Client(self._spec, len(self._order))
                left -= 1
                fd = client.sock.fileno()
                self._clients[fd] = client
                self._order.append(client)
                waiting.add(fd)
                self._epoll.register(fd, select.EPOLLOUT)
            for fd, _event in self._epoll.poll(1):
                if fd not in self._clients:  # a command: after this one
                    continue
                client = self._clients[fd]
                if fd in waiting:
                    waiting.discard(fd)
                    client.greet()
                    self._epoll.modify(fd, select.EPOLLIN)
                    opening.add(fd)
                else:
                    self._read(fd)
                if client.is_open:
                    opening.discard(fd)
            if time.monotonic() - began > CONNECT_TIMEOUT_S:
                raise TimeoutError(f"{len(waiting) + len(opening)} of {count} not connected")
        return time.monotonic() - began

    def run(self, commands: FileIO) -> None:
        """Receive, and answer what is asked, until the input ends."""
        control = commands.fileno()
        self._epoll.register(control, select.EPOLLIN)
        while True:
            for fd, _event in self._epoll.poll():
                if fd != control:
                    self._read(fd)
                elif not self._answer(commands.readline().decode()):
                    return

    def _read(self, fd: int) -> None:
        client = self._clients[fd]
        try:
            # In small bites where it counts from which byte on it is fresh.
            bite = AWAKE_BYTES if client.stalled_after_us else RECEIVE_BYTES
            size = client.sock.recv_into(self._buffer, bite)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError:
            size = 0
        if size:
            client.take(self._view[:size])
            return
        if not client.is_open:
            raise ConnectionError("the server closed a connection that was being opened")
        self._lost += 1
        self._epoll.unregister(fd)

    def _answer(self, line: str) -> bool:
        command, _, rest = line.strip().partition(" ")
        plain = {
            "mark": self._mark, "stall": self._stall, "wake": self._wake, "unread": self._unread,
        }  # fmt: skip
        if command in plain:
            self._say(plain[command]())
        elif command == "open":
            self._say({"connect_s": self._open(int(rest))})
        elif command == "finish":
            found = account(self._spec, self._order, json.loads(rest))
            self._say({**found, "lost": self._lost})
        else:
            return False
        return True

    def _mark(self) -> dict[str, Any]:
        updates = sum(client.counter.updates for client in self._order)
        received = sum(client.bytes for client in self._order)
        answer = {
            "updates": updates - self._marked[0],
            "bytes": received - self._marked[1],
            "total": updates,
            "lost": self._lost,
            "ages": self._ages(),
        }
        self._marked = (updates, received)
        return answer

    def _ages(self) -> list[tuple[int, int]]:
        ages = Histogram()
        for client in self._order:
            if client.decoder is not None and not client.stalled_after_us:
                ages.merge(client.decoder.ledger.ages)
                client.decoder.ledger.ages = Histogram()
        return ages.as_pairs()

    def _stall(self) -> dict[str, Any]:
        for client in self._order:
            self._epoll.unregister(client.sock.fileno())
        return {}

    def _wake(self) -> dict[str, Any]:
        """Let the stalled read on, and count what they get that is old by now."""
        now_us = time.monotonic_ns() // 1000
        for client in self._order:
            client.stalled_after_us = now_us
            self._epoll.register(client.sock.fileno(), select.EPOLLIN)
        return {}

    def _unread(self) -> dict[str, Any]:
        """The clients' ports, and how much lies in their own kernel buffers."""
        return {
            "ports": [client.sock.getsockname()[1] for client in self._order],
            "unread": [client.unread_bytes for client in self._order],
        }

    @staticmethod
    def _say(answer: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def main() -> None:
    """Work, ahead of the others on the core if these clients decode."""
    spec = LoadSpec(**json.loads(sys.argv[1]))
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, NICE_DECODING if spec.decode else NICE_COUNTING)
    gc.disable()  # nothing here is cyclic, and a collection would look like age
    # Unbuffered: what a buffer holds, no select would see.
    with FileIO(sys.stdin.fileno(), closefd=False) as commands:
        Load(spec).run(commands)


if __name__ == "__main__":
    main()
