"""All that the service counts, made to happen once on a real broker: good, bad and slow.

Must not know who looks at the counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

import aio_pika
import aiohttp

from tests.support.amqp import delete
from tests.support.raw import connect, request, upgrade

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DEADLINE_S = 30
STALL_MESSAGES = 40
STALL_BYTES = 50_000
"""Of each; together below ``queue_bytes_max``, so that the client stays."""


class Day:
    """A publisher and clients of one service, whose streams are named by ``amqp``."""

    def __init__(
        self, port: int, exchange: aio_pika.abc.AbstractExchange, session: aiohttp.ClientSession
    ) -> None:
        self._port = port
        self._exchange = exchange
        self._session = session

    async def publish(self, channel: str, data: Any, times: int = 1) -> None:
        """As a good publisher does, with the time."""
        for _ in range(times):
            await self.send(channel, json.dumps(data).encode())

    async def send(self, channel: str, body: bytes) -> None:
        """Any body."""
        message = aio_pika.Message(body, headers={"ts": int(time.time() * 1000)})
        await self._exchange.publish(message, channel)

    def lines(self, query: str) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """An NDJSON stream; leaving the context closes it."""
        return self._session.get(f"http://127.0.0.1:{self._port}/v1/ndjson?{query}")

    async def come_and_go(self) -> str:
        """Read trades and leave, wait for nothing and leave, be cut; the cursor after all."""
        async with self.lines("channels=trades.A,quotes.A") as stream:
            await until(stream, "snapshot_end")
            await self.publish("quotes.A", 1.5, 20)
            await until(stream, "quotes.A")
            await self.publish("trades.A", "traded", 20)
            cursor = str((await until(stream, "traded"))["cursor"])
        async with self.lines("channels=trades.none") as stream:
            await until(stream, "snapshot_end")
        async with connect(self._port, upgrade()) as wire:
            await wire.up_to(b"welcome")
            wire.cut()
        return cursor

    async def resume(self, cursor: str, said: str) -> None:
        """Come back with a cursor and be told ``said``."""
        async with self.lines(f"channels=trades.A&cursor={cursor}") as stream:
            await until(stream, said)

    @contextlib.asynccontextmanager
    async def stalled(self) -> AsyncIterator[None]:
        """A client that has stopped reading, and what waits for it."""
        asked = request("/v1/ndjson?channels=trades.B,quotes.B&interval_ms=100")
        async with connect(self._port, asked, receive_bytes=4096) as wire:
            await wire.up_to(b"snapshot_end")
            for _ in range(STALL_MESSAGES):
                await self.publish("trades.B", "x" * STALL_BYTES)
                await self.publish("quotes.B", "x")
            yield


async def until(stream: aiohttp.ClientResponse, mark: str) -> dict[str, Any]:
    """The first line with ``mark`` in it."""
    async with asyncio.timeout(DEADLINE_S):
        while mark not in (line := (await stream.content.readline()).decode()):
            assert line, f"it ended without {mark}"
    found: dict[str, Any] = json.loads(line)
    return found


@contextlib.asynccontextmanager
async def a_day_with_everything(port: int, amqp: dict[str, str]) -> AsyncIterator[None]:
    """Traffic, a cut, resumes, poison, a stream that is deleted, and inside a stalled client."""
    broker = await aio_pika.connect(amqp["BROKER__URL"])
    async with broker, broker.channel() as channel, aiohttp.ClientSession() as session:
        exchange = await channel.get_exchange(amqp["BROKER__EXCHANGE"])
        day = Day(port, exchange, session)
        cursor = await day.come_and_go()
        await day.resume(cursor, '"recovered":true')
        async with day.lines("channels=trades.A,quotes.A") as stays:
            await until(stays, "snapshot_end")
            await day.send("trades.A", b"{")
            await until(stays, '"gap"')
            await delete(amqp["BROKER__URL"], f"{amqp['BROKER__QUEUE_PREFIX']}trades")
            await until(stays, '"reset"')
            await day.publish("trades.A", "after")
            await until(stays, "after")
            await day.resume(cursor, '"recovered":false')
            async with day.stalled():
                yield
