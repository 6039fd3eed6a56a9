"""What a Python user would write first: a loop that awaits a send for each client.

`python -m loadtest.bench.peers.naive <amqp url> <exchange>`. aio-pika's robust connection
and its queue iterator, aiohttp's WebSocket with MessagePack, aiohttp-sse with
JSON; only compression is off, as it is on the other side of the comparison.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys

import aio_pika
import msgpack
import uvloop
from aiohttp import WSMsgType, web
from aiohttp_sse import EventSourceResponse, sse_response

Sockets = set[web.WebSocketResponse]
Streams = set[EventSourceResponse]


async def consume(url: str, name: str, sockets: Sockets, streams: Streams) -> None:
    """Send each message to everybody, one after the other."""
    connection = await aio_pika.connect_robust(url)
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=1000)
    exchange = await channel.declare_exchange(name, aio_pika.ExchangeType.TOPIC, durable=True)
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind(exchange, "#")
    async with queue.iterator(no_ack=True) as messages:
        async for message in messages:
            update = json.loads(message.body)
            for socket in list(sockets):
                await socket.send_bytes(msgpack.packb(update))
            for stream in list(streams):
                await stream.send(json.dumps(update))


async def main() -> None:
    """Serve until the input ends."""
    logging.getLogger("aio_pika").setLevel(logging.CRITICAL)  # the end drops what it holds
    sockets: Sockets = set()
    streams: Streams = set()

    async def websocket(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        sockets.add(socket)
        async for message in socket:
            if message.type == WSMsgType.ERROR:
                break
        sockets.discard(socket)
        return socket

    async def sse(request: web.Request) -> EventSourceResponse:
        async with sse_response(request) as stream:
            streams.add(stream)
            await stream.wait()
            streams.discard(stream)
        return stream

    app = web.Application()
    app.add_routes([web.get("/ws", websocket), web.get("/sse", sse)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    consumer = asyncio.create_task(consume(sys.argv[1], sys.argv[2], sockets, streams))
    await asyncio.sleep(1)
    sys.stdout.write(f'{{"port": {runner.addresses[0][1]}}}\n')
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    consumer.cancel()


if __name__ == "__main__":
    uvloop.run(main())
