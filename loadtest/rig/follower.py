"""A subscriber that follows lossless channels through any fault, and verifies the chain.

It reads the wire by itself: what it proves must not rest on our own client.
Must not know which faults there are.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import msgpack
import orjson

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Callable, Sequence

RETRY_MS_MAX = 1000
SILENCE_S = 40.0
"""Longer than a heartbeat: a connection that says nothing for so long is cut."""


class Broken(AssertionError):
    """The chain is broken: an update was lost, doubled or swapped without a word."""


class Follower:
    """Follows ``channels`` on one of ``urls``; goes to another when it is cut.

    ``seen[channel]`` are the ``data`` of its updates in order. ``resets`` are
    the reasons of the resets that it was told. ``slow_s`` is how long it waits
    between two reads, at most.
    """

    def __init__(  # noqa: PLR0913 - all but three by name
        self,
        name: str,
        urls: Sequence[str],
        channels: Sequence[str],
        transport: str,
        *,
        rng: random.Random,
        slow_s: float = 0.0,
    ) -> None:
        self.name = name
        self.channels = channels
        self.transport = transport
        self.slow_s = slow_s
        self.cursor: str | None = None
        self.seen: dict[str, list[Any]] = {channel: [] for channel in channels}
        self.resets: list[str] = []
        self.gaps: list[dict[str, Any]] = []
        self.connects = 0
        self.closings: list[str] = []
        self.statuses: list[str] = []
        self.snapshots = 0
        self.is_subscribed = asyncio.Event()
        self._urls = urls
        self._rng = rng
        # The last seq of each channel; absent: nothing seen since the beginning or a reset.
        self._last: dict[str, int] = {}
        self._session: aiohttp.ClientSession | None = None
        self._transport: asyncio.Transport | None = None

    async def run(self, done: Callable[[Follower], bool]) -> None:
        """Follow until ``done`` says so. Raises :class:`Broken`."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=SILENCE_S)
        async with aiohttp.ClientSession(timeout=timeout) as self._session:
            at = self._rng.randrange(len(self._urls))
            while not done(self):
                retry_ms = 200
                try:
                    async for event in self._connect(self._urls[at % len(self._urls)]):
                        self._take(event)
                        if event["event"] == "closing":
                            retry_ms = min(event["retry_ms"] or RETRY_MS_MAX, RETRY_MS_MAX)
                        if done(self):
                            return
                except (aiohttp.ClientError, OSError, TimeoutError):
                    pass
                at += 1
                await asyncio.sleep(retry_ms / 1000 * self._rng.uniform(0.5, 1.0))

    def cut(self) -> None:
        """Lose the connection, without a word to the server."""
        if self._transport is not None:
            self._transport.abort()

    async def _connect(self, url: str) -> AsyncIterator[dict[str, Any]]:
        self.connects += 1
        read = {"sse": self._sse, "ndjson": self._ndjson, "ws": self._ws}[self.transport]
        async for event in read(url):
            yield event

    async def _pause(self) -> None:
        if self.slow_s:
            await asyncio.sleep(self._rng.uniform(0, self.slow_s))

    async def _lines(self, url: str, end: bytes) -> AsyncIterator[bytes]:
        assert self._session is not None
        headers = {"Last-Event-ID": self.cursor} if self.cursor else {}
        body = {"channels": list(self.channels)}
        async with self._session.post(url, json=body, headers=headers) as response:
            if response.status in (502, 503, 504):  # said by a proxy: come back
                return
            if response.status != 200:
                raise Broken(f"{self.name}: {response.status} {await response.text()}")
            self._transport = response.connection and response.connection.transport
            rest = b""
            async for piece in response.content.iter_any():
                *whole, rest = (rest + piece).split(end)
                for text in whole:
                    yield text
                await self._pause()

    async def _sse(self, url: str) -> AsyncIterator[dict[str, Any]]:
        async for text in self._lines(f"{url}/v1/sse", b"\n\n"):
            event: dict[str, Any] = {"event": "update"}
            for line in text.split(b"\n"):
                name, _, value = line.partition(b": ")
                if name == b"data":
                    event.update(orjson.loads(value))
                elif name == b"id":
                    event["cursor"] = value.decode()
                elif name == b"event":
                    event["event"] = value.decode()
                elif name == b"retry":
                    event["retry_ms"] = int(value)
            yield event

    async def _ndjson(self, url: str) -> AsyncIterator[dict[str, Any]]:
        async for text in self._lines(f"{url}/v1/ndjson", b"\n"):
            yield {"event": "update", **orjson.loads(text)}

    async def _ws(self, url: str) -> AsyncIterator[dict[str, Any]]:
        assert self._session is not None
        async with self._session.ws_connect(
            f"{url}/v1/ws", protocols=["tickfan.msgpack.v1"], max_msg_size=0
        ) as socket:
            connection = socket._response.connection  # noqa: SLF001 - aiohttp has no other way to it
            self._transport = connection and connection.transport
            command: dict[str, Any] = {"op": "subscribe", "channels": list(self.channels)}
            if self.cursor:
                command["cursor"] = self.cursor
            await socket.send_bytes(msgpack.packb(command))
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.BINARY:
                    return
                event = msgpack.unpackb(message.data)
                if event["t"] == "updates":
                    for row in event["u"]:
                        update = dict(zip(("channel", "seq", "ts", "data", "prev", "type"), row,
                                          strict=False))  # fmt: skip
                        yield {"event": "update", "snapshot": event.get("snapshot"), **update}
                    # The message is atomic: its cursor counts when all of it is used.
                    if "c" in event:
                        self.cursor = event["c"]
                else:
                    yield {"event": event["t"], "cursor": event.get("c"), **event}
                await self._pause()

    def _take(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind in {"update", "gap"} or "seq" in event:
            self._step(event)
        elif kind == "reset":
            self.resets.append(event["reason"])
            self._last.clear()
        elif kind == "closing":
            self.closings.append(event["reason"])
        elif kind == "status" and "feed" in event:
            self.statuses.append(event["upstream"])
        elif kind == "error":
            raise Broken(f"{self.name}: refused: {event}")
        elif kind == "snapshot_end":
            self.is_subscribed.set()
        if event.get("cursor"):
            self.cursor = event["cursor"]

    def _step(self, event: dict[str, Any]) -> None:
        channel, seq, prev = event["channel"], event["seq"], event.get("prev")
        if event.get("snapshot"):
            self.snapshots += 1
            return
        last = self._last.get(channel)
        if last is not None and prev != last:
            word = "doubled or swapped" if seq <= last else "lost"
            raise Broken(
                f"{self.name} ({self.transport}): {word} on {channel}: had {last}, got {seq} "
                f"after {prev}; resets {self.resets}, connect {self.connects}"
            )
        self._last[channel] = seq
        if event["event"] == "gap":
            self.gaps.append(event)
        else:
            self.seen[channel].append(event["data"])
