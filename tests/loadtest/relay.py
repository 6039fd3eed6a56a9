"""A relay before the service which does to streams what a load test must see.

It cuts the first connections once, which loses nothing for a client that
resumes; later it takes one update away from each wire. Must not know who tests.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
from typing import TYPE_CHECKING, Any

import aiohttp
import msgpack
import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CUT_AFTER_MESSAGES = 20


class Relay:
    """Relays SSE and WebSockets to ``upstream``.

    The first ``cuts`` connections are cut; ``has_cut`` counts them. Then one
    lossless update is taken away from each wire: ``taken`` has their channels.
    """

    def __init__(self, upstream: str, cuts: int) -> None:
        self.has_cut = 0
        self.taken: dict[str, str] = {}
        self._upstream = upstream
        self._cuts = cuts
        self._connections = 0
        # Of the connections that go on: how often each channel was seen there.
        self._seen: collections.Counter[tuple[int, str]] = collections.Counter()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Its address, while it relays."""
        app = web.Application()
        app.router.add_post("/v1/sse", self._sse)
        app.router.add_get("/v1/ws", self._ws)
        server = TestServer(app)
        async with aiohttp.ClientSession() as self._session, server:
            yield f"http://127.0.0.1:{server.port}"

    async def _sse(self, request: web.Request) -> web.StreamResponse:
        number = self._next()
        response = web.StreamResponse()
        response.content_type = "text/event-stream"
        rest = b""
        async with self._session.post(
            f"{self._upstream}/v1/sse",
            data=await request.read(),
            headers={"Content-Type": "application/json"},
        ) as answer:
            await response.prepare(request)
            messages = 0
            with contextlib.suppress(ConnectionError):
                async for piece in answer.content.iter_any():
                    *whole, rest = (rest + piece).split(b"\n\n")
                    kept = [text + b"\n\n" for text in whole if not self._takes_event(number, text)]
                    await response.write(b"".join(kept))
                    messages += len(whole)
                    if self._is_cut(number, messages):
                        _abort(request)
                        break
        return response

    def _takes_event(self, number: int, text: bytes) -> bool:
        data = text.rpartition(b"data: ")[2]
        if b'"prev":' not in data:
            return False
        body = orjson.loads(data)
        return self._takes("sse", number, body["channel"])

    async def _ws(self, request: web.Request) -> web.StreamResponse:
        number = self._next()
        socket = web.WebSocketResponse(protocols=("tickfan.msgpack.v1",), compress=False)
        await socket.prepare(request)
        async with self._session.ws_connect(
            f"{self._upstream}/v1/ws", protocols=("tickfan.msgpack.v1",)
        ) as upstream:
            up = asyncio.create_task(_forward(socket, upstream))
            messages = 0
            with contextlib.suppress(ConnectionError):
                async for message in upstream:
                    await socket.send_bytes(self._without(number, message.data))
                    messages += 1
                    if self._is_cut(number, messages):
                        _abort(request)
                        break
            up.cancel()
            await asyncio.wait({up})
        return socket

    def _without(self, number: int, data: bytes) -> bytes:
        event: dict[str, Any] = msgpack.unpackb(data)
        rows = event.get("u", [])
        kept = [row for row in rows if len(row) < 5 or not self._takes("ws", number, row[0])]
        if len(kept) == len(rows):
            return data
        packed: bytes = msgpack.packb({**event, "u": kept})
        return packed

    def _next(self) -> int:
        self._connections += 1
        return self._connections

    def _is_cut(self, number: int, messages: int) -> bool:
        cut = number <= self._cuts and messages >= CUT_AFTER_MESSAGES
        self.has_cut += cut
        return cut

    def _takes(self, wire: str, number: int, channel: str) -> bool:
        """Whether this lossless update is the one: the second of its channel there."""
        if number <= self._cuts or wire in self.taken:
            return False
        self._seen[number, channel] += 1
        if self._seen[number, channel] < 2:
            return False
        self.taken[wire] = channel
        return True


async def _forward(
    socket: web.WebSocketResponse, upstream: aiohttp.ClientWebSocketResponse
) -> None:
    with contextlib.suppress(ConnectionError):
        async for message in socket:
            await upstream.send_bytes(message.data)
    await upstream.close()


def _abort(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()
