"""The composition root, seen from outside."""

from __future__ import annotations

import asyncio
import csv
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from loadtest.rig.waiting import until
from tests.support.raw import connect, request

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive
    from tests.support.live import Live


async def test_clients_are_told_over_the_time_that_is_given(service: Live) -> None:
    """A herd that is told at once comes back at once."""
    loop = asyncio.get_running_loop()
    told: list[float] = []

    async def client() -> None:
        async with connect(service, request("/v1/sse?channels=quotes.A")) as wire:
            await wire.up_to(b"drain")
            told.append(loop.time())

    clients = [asyncio.create_task(client()) for _ in range(20)]
    await until(lambda: service.service.connected == 20)
    began = loop.time()
    await service.service.drain(0.5)
    await asyncio.gather(*clients)

    assert told[-1] - began > 0.4
    halfway = [moment for moment in told if moment - began < 0.25]
    assert len(halfway) <= 15
    await until(lambda: not service.service.connected)


@pytest.mark.parametrize("is_simulated", [True, False])
async def test_invented_prices_say_so_at_each_door(make_live: MakeLive, is_simulated: bool) -> None:
    """The first words of each transport, and each answer with prices or of their state."""
    market = {"MARKET__ENABLED": "true", "MARKET__RATE": "1000"} if is_simulated else {}
    service = await make_live(**market)
    if not is_simulated:
        await service.publish("trades.AAPL", {"price": "1"})
    await until(lambda: service.service.feeds.channel("trades.AAPL"))
    said: dict[str, dict[str, Any]] = {}
    for subprotocol in ("tickfan.msgpack.v1", "tickfan.json.v1"):
        async with service.ws(subprotocol) as talk:
            said[f"{subprotocol} welcome"] = talk.messages[0]
            await talk.say(op="subscribe", channels=["trades.AAPL"])
            [said[subprotocol]] = await talk.read_until("subscribed")
    async with service.sse("channels=trades.AAPL") as stream:
        [said["sse"]] = await stream.read_until("subscribed")
    async with service.ndjson("channels=trades.AAPL") as lines:
        [said["ndjson"]] = await lines.read_until("subscribed")
    for path in ("channels", "channels/trades.AAPL", "channels/trades.AAPL/history"):
        async with service.session.get(service.url(f"/v1/{path}")) as answer:
            said[path] = await answer.json()
    history = service.url("/v1/channels/trades.AAPL/history?limit=1&format=")
    async with service.session.get(service.url("/")) as answer:
        said["/"] = await answer.json()
    async with service.session.get(f"{history}ndjson") as answer:
        said["history as NDJSON"] = orjson.loads(await answer.text())
    for path in ("/readyz", "/v1/stats"):
        said[path] = await (await service.admin.get(path)).json()
    assert {door: fields.get("simulated") for door, fields in said.items()} == dict.fromkeys(
        said, True if is_simulated else None
    )
    async with service.session.get(f"{history}csv") as answer:
        head, row = csv.reader((await answer.text()).splitlines())
    marked = {"simulated": "true"} if is_simulated else {}
    assert dict(list(zip(head, row, strict=True))[head.index("prev") + 1 :]) == marked


async def test_the_settings_reach_what_they_set(make_live: MakeLive) -> None:
    """Each limit of a connection is the operator's."""
    service = await make_live(
        STREAM__RETRY_MS="50000", STREAM__SNAPSHOT="false", STREAM__INTERVALS_MS="[100, 777]",
        HTTP__BODY_BYTES_MAX="2048", HTTP__MESSAGE_BYTES_MAX="2000",
        STREAM__CHANNELS_PER_CONNECTION_MAX="3", STREAM__UPDATES_BYTES_MAX="4096",
        BROKER__MESSAGE_BYTES_MAX="4000",
    )  # fmt: skip
    await service.publish("quotes.A", 1)
    await service.publish("quotes.B", "x" * 3900)
    assert not service.service.tally.poison
    await service.publish("quotes.B", "x" * 4000)
    assert service.service.tally.poison == {("quotes", "too_large"): 1}
    async with service.sse("channels=quotes.A&interval_ms=101") as stream:
        subscribed, _ = await stream.read_until("snapshot_end")
    assert 25_000 <= int(subscribed["retry"]) <= 75_000
    assert subscribed["channels"][0]["interval_ms"] == 777
    assert subscribed["channels"][0]["snapshot"] == "none"
    async with service.ws() as talk:
        assert talk.messages[0]["limits"] == {
            "message_bytes_max": 2000, "updates_bytes_max": 4096, "channels_per_connection_max": 3,
            "wildcards_per_connection_max": 100, "commands_per_s_max": 100,
        }  # fmt: skip
    url = service.url("/v1/channels/quotes.A")
    async with service.session.post(url, json="x" * 2100) as response:
        assert response.status == 413


async def test_the_root_says_where_to_go(service: Live) -> None:
    """Until the page is there."""
    async with service.session.get(service.url("/")) as response:
        assert response.status == 200
        assert "/v1/sse" in (await response.json())["streams"]
