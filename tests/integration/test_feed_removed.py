"""docs/feeds.md: what a feed that leaves the settings leaves behind."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aio_pika
import aiohttp
from aio_pika.exceptions import DeliveryError

from loadtest.rig.waiting import DEADLINE_S

if TYPE_CHECKING:
    from aio_pika.abc import AbstractExchange

    from tests.integration.conftest import MakeService

STAYS = {"name": "stays", "bind": ["stays.#"], "delivery": "lossless"}
GOES = [
    {"name": "quick", "bind": ["quick.#"], "delivery": "conflated"},
    {"name": "warm", "bind": ["warm.#"], "delivery": "conflated", "warm": "1m"},
    {"name": "news", "bind": ["news.#"], "delivery": "lossless"},
]


async def _read(answer: aiohttp.ClientResponse, until_event: str, updates: int) -> list[Any]:
    """What comes until this event, or until so many updates have come."""
    told: list[Any] = []
    while not told or (told[-1].get("event") != until_event and updates):
        told.append(json.loads(await answer.content.readline()))
        updates -= "event" not in told[-1]
    return told


async def _is_routed(exchange: AbstractExchange, channel: str) -> bool:
    """Whether a queue takes it."""
    message = aio_pika.Message(b"1", content_type="application/json")
    try:
        await exchange.publish(message, routing_key=channel)
    except DeliveryError:
        return False
    return True


async def test_streams_stay_and_queues_go(make_service: MakeService, amqp: dict[str, str]) -> None:
    """Bound as they were. A cursor of both feeds is good for the one that stays."""
    before = make_service({**amqp, "FEEDS": json.dumps([STAYS, *GOES])})
    await asyncio.to_thread(before.start)
    connection = await aio_pika.connect(amqp["BROKER__URL"])
    channel = connection.channel(on_return_raises=True)
    async with asyncio.timeout(2 * DEADLINE_S), connection, channel:
        exchange = await channel.get_exchange(amqp["BROKER__EXCHANGE"])
        async with (
            aiohttp.ClientSession(before.url) as session,
            session.get("/v1/ndjson?channels=stays.%23,news.%23") as answer,
        ):
            await _read(answer, "snapshot_end", 1)
            for name in ("stays", "quick", "warm", "news"):
                assert await _is_routed(exchange, f"{name}.a")
            cursor = (await _read(answer, "", 2))[-1]["cursor"]
        await asyncio.to_thread(before.stop)

        after = make_service({**amqp, "FEEDS": json.dumps([STAYS])})
        await asyncio.to_thread(after.start)
        assert await _is_routed(exchange, "stays.b")
        assert not await _is_routed(exchange, "quick.b")
        assert await _is_routed(exchange, "warm.b")
        assert await _is_routed(exchange, "news.b")

        async with aiohttp.ClientSession(after.url) as session:
            async with session.get("/v1/sse?channels=news.%23") as answer:
                assert answer.status == 404
                assert (await answer.json())["error"]["code"] == "no_feed"
            async with session.get(f"/v1/ndjson?channels=stays.%23&cursor={cursor}") as answer:
                told = await _read(answer, "snapshot_end", 2)
        assert not [each for each in told if each.get("event") == "reset"]
        assert told[0]["channels"][0]["recovered"] is True

        for name in ("warm.warm", "news"):
            await channel.queue_delete(amqp["BROKER__QUEUE_PREFIX"] + name)
        assert not await _is_routed(exchange, "news.c")
        assert not await _is_routed(exchange, "warm.c")
