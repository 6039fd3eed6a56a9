"""Just enough of the service to test its client: says what a test tells it to.

Real HTTP and real WebSocket by aiohttp; only the words are canned.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgpack
from aiohttp import WSMsgType, web

from loadtest.rig.waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

SUBPROTOCOL = "tickfan.msgpack.v1"


class FakeService:
    """``stream`` is the body of SSE and NDJSON answers, piece by piece; ``answers`` are
    the WebSocket messages sent after each subscribe. What came in is kept."""

    def __init__(self) -> None:
        self.stream: list[bytes] = []
        self.status = 200
        self.error: dict[str, Any] = {}
        self.ends = False
        self.answers: list[list[dict[str, Any] | bytes]] = []
        self.close_code: int | None = None
        self.requests: list[web.Request] = []
        self.bodies: list[Any] = []
        self.commands: list[dict[str, Any]] = []
        self.gone = asyncio.Event()

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**20)
        app.router.add_route("*", "/v1/sse", self._sse)
        app.router.add_route("*", "/v1/ndjson", self._ndjson)
        app.router.add_get("/v1/ws", self._ws)
        return app

    async def _sse(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "text/event-stream")

    async def _ndjson(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "application/x-ndjson")

    async def _answer(self, request: web.Request, media_type: str) -> web.StreamResponse:
        self.requests.append(request)
        if request.method == "POST":
            self.bodies.append(await request.json())
        if self.status != 200:
            return web.json_response({"error": self.error}, status=self.status)
        response = web.StreamResponse(headers={"Content-Type": media_type})
        await response.prepare(request)
        for piece in self.stream:
            await response.write(piece)
            await asyncio.sleep(0)
        if not self.ends:
            await self._until_gone()
        return response

    async def _until_gone(self) -> None:
        try:
            # The service notices a departure by the cancelled handler.
            await asyncio.Event().wait()
        finally:
            self.gone.set()

    async def _ws(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        if self.status != 200:
            return web.json_response({"error": self.error}, status=self.status)
        socket = web.WebSocketResponse(protocols=(SUBPROTOCOL,))
        await socket.prepare(request)
        await self._say(socket, [{"t": "welcome"}])
        async for message in socket:
            assert message.type is WSMsgType.BINARY
            self.commands.append(msgpack.unpackb(message.data))
            if self.answers:
                await self._say(socket, self.answers.pop(0))
            if self.close_code is not None:
                await socket.close(code=self.close_code, message=b"slow")
        self.gone.set()
        return socket

    async def _say(
        self, socket: web.WebSocketResponse, messages: Iterable[dict[str, Any] | bytes]
    ) -> None:
        for message in messages:
            await socket.send_bytes(
                message if isinstance(message, bytes) else msgpack.packb(message)
            )


async def take(items: AsyncIterator[Any], count: int) -> list[Any]:
    """The next ``count`` items, within a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        return [await anext(items) for _ in range(count)]
