"""The publisher: a paced stream of updates, each with the time it was made.

`python -m loadtest.bench.publish '<spec as JSON>'`. It says ``{"ready": true}``
when it is connected and begins at ``go``. ``mark`` answers how much it has
published, ``pause`` the same and waits for the next ``go``, ``stop`` ends it
with the final numbers. Times are monotonic
microseconds: publisher and clients share the machine's clock.
"""

from __future__ import annotations

import contextlib
import json
import random
import select
import socket
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from io import FileIO
from typing import TYPE_CHECKING, Any, Protocol

from loadtest.bench.amqp import Publisher

if TYPE_CHECKING:
    from collections.abc import Callable

QUIET_S = 0.5
BURST_MAX = 200
"""Messages in one write: what is late is not made up for in one blow."""


@dataclass(frozen=True)
class PublishSpec:
    """What is published.

    ``rate`` updates a second (0: as fast as it goes), ``batch`` in a message
    (1: each its own), over ``channels`` in turn. ``quotes``: bid and ask with
    sizes of a random choice of channels, one message of ``batch`` distinct
    ones at a time, without times. ``target`` is ``amqp`` or ``http`` (nchan).
    ``most``: stop after so many updates.
    """

    port: int
    channels: list[str] = field(default_factory=list)
    rate: float = 0
    batch: int = 1
    quotes: bool = False
    target: str = "amqp"
    exchange: str = "prices"
    path: str = ""
    most: int = 0

    def text(self) -> str:
        """As JSON, for the command line."""
        return json.dumps(asdict(self))


class Target(Protocol):
    """Where messages go."""

    def message(self, routing_key: str, body: bytes, *, batch: bool) -> bytes:
        """The bytes that publish one message."""

    def write(self, data: bytes) -> None:
        """Write messages."""

    def close(self) -> None:
        """Make sure that all of it was taken."""


class HttpTarget:
    """nchan's publisher endpoint, pipelined over one connection."""

    def __init__(self, port: int, path: str) -> None:
        self._head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: ".encode()
        self._socket = socket.create_connection(("127.0.0.1", port), 30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def message(self, routing_key: str, body: bytes, *, batch: bool) -> bytes:
        """See :class:`Target`."""
        del routing_key, batch
        return b"%b%d\r\n\r\n%b" % (self._head, len(body), body)

    def write(self, data: bytes) -> None:
        """See :class:`Target`; the answers are read and dropped."""
        self._socket.sendall(data)
        if select.select([self._socket], [], [], 0)[0] and not self._socket.recv(1 << 20):
            raise ConnectionError("nchan closed the publisher's connection")

    def close(self) -> None:
        """See :class:`Target`. nginx drops what it has not read when we hang up."""
        self._socket.settimeout(QUIET_S)
        with contextlib.suppress(TimeoutError):
            while self._socket.recv(1 << 20):
                pass
        self._socket.close()


class Updates:
    """Makes the bodies: about 100 bytes an update, as a feed handler would send."""

    def __init__(self, spec: PublishSpec) -> None:
        self._channels = spec.channels
        self._names = [channel.encode() for channel in spec.channels]
        self.count = 0
        self.final: Counter[str] = Counter()
        self._random = random.Random(7)

    def single(self) -> tuple[str, bytes]:
        """One update: its channel and body."""
        round_, index = divmod(self.count, len(self._channels))
        self.count += 1
        return self._channels[index], self._data(round_ + 1)

    def batch(self, size: int) -> tuple[str, bytes]:
        """One message of ``size`` updates, over the channels in turn."""
        parts = []
        for _ in range(size):
            channel, data = self.single()
            parts.append(b'{"channel":"%b","data":%b}' % (channel.encode(), data))
        return self._channels[0], b"[%b]" % b",".join(parts)

    def quotes(self, size: int) -> tuple[str, bytes]:
        """One message of quotes of ``size`` distinct channels."""
        pick = self._random
        parts = []
        for index in pick.sample(range(len(self._names)), size):
            cents = pick.randrange(1000, 50_000)
            parts.append(
                b'{"channel":"%b","data":{"bid":"%d.%02d","ask":"%d.%02d","bs":"%d","as":"%d"}}'
                % (self._names[index], cents // 100, cents % 100, (cents + 2) // 100,
                   (cents + 2) % 100, pick.randrange(1, 90) * 100, pick.randrange(1, 90) * 100)
            )  # fmt: skip
        self.count += size
        return self._channels[0], b"[%b]" % b",".join(parts)

    def numbers(self) -> dict[str, int]:
        """The last number published on each channel."""
        rounds, more = divmod(self.count, len(self._channels))
        return {name: rounds + (i < more) for i, name in enumerate(self._channels)}

    @staticmethod
    def _data(number: int) -> bytes:
        # Shared digits would flatter nobody: nothing here compresses.
        return b'{"n":%d,"m":%d,"price":"101.2575","size":"3.50","side":"buy","venue":"XNAS"}' % (
            number,
            time.monotonic_ns() // 1000,
        )


class Paced:
    """Publishes at a rate until told to stop."""

    def __init__(self, spec: PublishSpec, target: Target, commands: FileIO) -> None:
        self._spec = spec
        self._commands = commands
        self._target = target
        self._updates = Updates(spec)
        self._make: Callable[[], tuple[str, bytes]]
        if spec.quotes:
            self._make = lambda: self._updates.quotes(spec.batch)
        elif spec.batch > 1:
            self._make = lambda: self._updates.batch(spec.batch)
        else:
            self._make = self._updates.single
        self._behind_s = 0.0

    def run(self) -> None:
        """At each ``go`` publish until ``pause``, until ``stop`` or the end of the input."""
        while (command := self._commands.readline().strip()) in (b"go", b"mark"):
            if command == b"go" and not self._publish():
                break
            self._say()
        self._target.close()
        self._say()

    def _publish(self) -> bool:
        """Publish, answering ``mark``; whether it was asked to pause."""
        spec = self._spec
        gap_s = spec.batch / spec.rate if spec.rate else 0.0
        due = time.perf_counter()
        wait_s = 0.0
        while True:
            if select.select([self._commands], [], [], wait_s)[0]:
                command = self._commands.readline().strip()
                if command != b"mark":
                    return command == b"pause"
                self._say()
            now = time.perf_counter()
            if spec.most and self._updates.count >= spec.most:
                wait_s = 1.0
                continue
            count = min(BURST_MAX, int((now - due) / gap_s) + 1) if gap_s else BURST_MAX
            if spec.most:
                count = min(count, -(-(spec.most - self._updates.count) // spec.batch))
            if count > 0:
                is_batch = spec.batch > 1
                self._target.write(
                    b"".join(
                        self._target.message(*self._make(), batch=is_batch) for _ in range(count)
                    )
                )
                due += count * gap_s
                self._behind_s = max(self._behind_s, now - due)
            wait_s = max(0.0, due - time.perf_counter()) if gap_s else 0.0

    def _say(self) -> None:
        answer: dict[str, Any] = {"updates": self._updates.count, "behind_s": self._behind_s}
        if not self._spec.quotes:
            answer["final"] = self._updates.numbers()
        self._behind_s = 0.0
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def main() -> None:
    """Connect, wait for ``go``, publish."""
    spec = PublishSpec(**json.loads(sys.argv[1]))
    target: Target
    if spec.target == "http":
        target = HttpTarget(spec.port, spec.path)
    else:
        target = Publisher(spec.port, spec.exchange)
    sys.stdout.write('{"ready": true}\n')
    sys.stdout.flush()
    # Unbuffered: what a buffer holds, no select would see.
    with FileIO(sys.stdin.fileno(), closefd=False) as commands:
        Paced(spec, target, commands).run()


if __name__ == "__main__":
    main()
