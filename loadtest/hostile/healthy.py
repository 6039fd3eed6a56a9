"""Clients that do nothing wrong: how long each update took to them, and whether one is missing.

Must not know what goes on beside them.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHANNEL = "trades.H"
_REQUEST = f"GET /v1/ndjson?channels={CHANNEL} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


class Watch:
    """What some healthy clients of one lossless channel see."""

    def __init__(self) -> None:
        self.ages_s: list[float] = []
        """How old each update was when it came, since the last look."""

        self.broken: list[str] = []
        """What was wrong: an update that is missing, an event that tells of a loss, an end."""

        self.seen = 0

    def take_ages(self) -> list[float]:
        """The ages since the last look, from the smallest on."""
        ages, self.ages_s = sorted(self.ages_s), []
        return ages

    @asynccontextmanager
    async def clients(self, port: int, number: int) -> AsyncIterator[None]:
        """Connect so many, and read while inside."""
        ready = [asyncio.Event() for _ in range(number)]
        tasks = [asyncio.create_task(self._read(port, event)) for event in ready]
        try:
            await asyncio.gather(*(event.wait() for event in ready))
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, port: int, ready: asyncio.Event) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        writer.write(_REQUEST)
        last: int | None = None
        try:
            await reader.readuntil(b"\r\n\r\n")
            while line := await reader.readline():
                if not line.startswith(b"{"):
                    continue  # the length of a chunk
                event = orjson.loads(line)
                match event.get("event"):
                    case "snapshot_end":
                        ready.set()
                    case "gap" | "reset" | "closing":
                        self.broken.append(str(event))
                    case None:
                        self.ages_s.append(time.time() - event["data"]["sent_us"] / 1e6)
                        self.seen += 1
                        if last is not None and event["prev"] != last:
                            self.broken.append(f"after {last} came {event['prev']}")
                        last = event["seq"]
            self.broken.append("a stream has ended")
        finally:
            ready.set()
            writer.transport.abort()
