"""The service on a real RabbitMQ, as its users meet it."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest

from loadtest.rig.waiting import until
from tests.support.live import Events, Lines, Talk
from tickfan.broker.base import Message
from tickfan.config import load
from tickfan.parts import build_broker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadtest.rig.process import ServiceProcess
    from loadtest.rig.rabbitmq import RabbitNode
    from tests.integration.conftest import MakeService
    from tickfan.broker.base import Broker

TOKEN = "a-publish-token-of-the-tests"


@pytest.fixture
async def broker(amqp: dict[str, str]) -> AsyncIterator[Broker]:
    """A publisher of the test's own."""
    publisher = build_broker(
        load(None, {f"TICKFAN_{name}": value for name, value in amqp.items()}), None
    )
    yield publisher
    await publisher.close()


class Clients:
    """Clients of one test; what it leaves open is closed with it."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self._open: list[aiohttp.ClientResponse] = []

    async def get(self, url: str) -> aiohttp.ClientResponse:
        response = await self.session.get(url)
        self._open.append(response)
        return response

    def close(self) -> None:
        for response in self._open:
            response.close()


@pytest.fixture
async def clients() -> AsyncIterator[Clients]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
        clients = Clients(session)
        yield clients
        clients.close()


async def _sse(clients: Clients, service: ServiceProcess, channels: str) -> Events:
    response = await clients.get(f"{service.url}/v1/sse?channels={channels}")
    events = Events(response)
    await events.read_until("snapshot_end")
    return events


async def _ndjson(clients: Clients, service: ServiceProcess, channels: str) -> Lines:
    response = await clients.get(f"{service.url}/v1/ndjson?channels={channels}")
    lines = Lines(response)
    await lines.read_until("snapshot_end")
    return lines


async def _ws(clients: Clients, service: ServiceProcess, **subscribe: Any) -> Talk:
    connection = await clients.session.ws_connect(
        f"{service.url}/v1/ws", protocols=["tickfan.msgpack.v1"], max_msg_size=0
    )
    talk = Talk(connection)
    await talk.say(op="subscribe", **subscribe)
    await talk.read_until("snapshot_end")
    return talk


async def _publish_many(broker: Broker, feed: str, messages: list[Message]) -> None:
    for start in range(0, len(messages), 500):
        some = messages[start : start + 500]
        await asyncio.gather(*(broker.publish(feed, message) for message in some))


async def test_lossless_is_10000_of_10000_in_order_on_every_wire_at_once(
    make_service: MakeService,
    amqp: dict[str, str],
    broker: Broker,
    clients: Clients,
) -> None:
    """SSE, WebSocket and NDJSON get each update once, in order, in one chain."""
    service = make_service(amqp).start()
    readers = [
        await _sse(clients, service, "trades.X"),
        await _ndjson(clients, service, "trades.%23"),
        await _ws(clients, service, channels=["trades.*"]),
    ]

    publishing = asyncio.create_task(
        _publish_many(
            broker, "trades", [Message("trades.X", b"%d" % number) for number in range(10_000)]
        )
    )
    runs = await asyncio.gather(*(reader.updates(10_000) for reader in readers))
    await publishing

    for updates in runs:
        assert [update["data"] for update in updates] == list(range(10_000))
        previous = None
        for update in updates:
            assert update["prev"] == previous
            previous = update["seq"]


async def test_a_conflated_channel_comes_at_its_interval_and_is_always_the_newest(
    make_service: MakeService,
    amqp: dict[str, str],
    broker: Broker,
    clients: Clients,
) -> None:
    """A client of 100 ms gets at most ten a second, however many come in."""
    service = make_service(amqp).start()
    talk = await _ws(clients, service, channels=["quotes.X"], interval_ms=100)
    sent = 2000

    async def publish() -> None:
        for start in range(0, sent, 10):
            batch = [Message("quotes.X", b"%d" % number) for number in range(start, start + 10)]
            await _publish_many(broker, "quotes", batch)
            await asyncio.sleep(0.01)  # 1,000 a second, or what the machine gives
        await broker.publish("quotes", Message("quotes.X", b'"end"'))

    begin = time.monotonic()
    publishing = asyncio.create_task(publish())
    updates: list[dict[str, Any]] = []
    while not updates or updates[-1]["data"] != "end":
        updates += await talk.updates(1)
    seconds = time.monotonic() - begin
    await publishing

    assert 2 < len(updates) <= seconds * 10 + 3, "one an interval, whatever comes in"
    # seq counts what came in, so the client sees how many were conflated ...
    assert updates[-1]["seq"] == sent + 1
    # ... and an update is the newest of its moment: data and seq agree.
    assert all(update["data"] == update["seq"] - 1 for update in updates[:-1])
    assert updates == sorted(updates, key=lambda update: update["seq"])


async def test_a_post_to_one_replica_reaches_the_clients_of_the_other(
    make_service: MakeService, amqp: dict[str, str], clients: Clients
) -> None:
    """Published through RabbitMQ, with its confirm, and numbered alike by both."""
    replicas = [make_service({**amqp, "PUBLISH__TOKEN": TOKEN}) for _ in range(2)]
    await asyncio.gather(*(asyncio.to_thread(replica.start) for replica in replicas))
    here, there = [await _sse(clients, replica, "trades.X,quotes.X") for replica in replicas]

    for channel in ("trades.X", "quotes.X"):
        async with clients.session.post(
            f"{replicas[0].url}/v1/channels/{channel}",
            json={"price": "1.5"},
            headers={"Authorization": f"Bearer {TOKEN}"},
        ) as answer:
            assert answer.status == 201, await answer.text()
            assert (await answer.json())["confirmed"] is True

    for events in (here, there):
        updates = {update["channel"]: update for update in await events.updates(2)}
        assert updates["trades.X"]["data"] == updates["quotes.X"]["data"] == {"price": "1.5"}
    assert TOKEN not in replicas[0].output


async def test_publishing_over_http_is_off_without_a_token(
    make_service: MakeService, amqp: dict[str, str], clients: Clients
) -> None:
    """Anonymous publishing is for memory:// only; the error names the setting."""
    service = make_service(amqp).start()
    async with clients.session.post(f"{service.url}/v1/channels/trades.X", json=1) as answer:
        assert answer.status == 403
        assert "publish.token" in (await answer.json())["error"]["message"]


async def test_without_rabbitmq_it_starts_says_so_and_keeps_trying(
    make_service: MakeService,
    amqp: dict[str, str],
    own_rabbitmq: RabbitNode,
    clients: Clients,
) -> None:
    """503 on /readyz, status for clients, and live when the broker is there."""
    service = make_service({**amqp, "BROKER__URL": own_rabbitmq.url, "BROKER__BACKOFF_MAX_S": "1"})
    service.start(wait_ready=False)
    assert service.ready_status() == 503
    quotes = await _sse(clients, service, "quotes.X")
    trades = Events(await clients.get(f"{service.url}/v1/sse?channels=trades.X"))
    turned_away = await trades.read_until("closing")
    assert turned_away[0]["upstream"]["trades"] == "starting"
    assert int(turned_away[0]["retry"]) > 0
    assert turned_away[-1]["reason"] == "starting"

    await asyncio.to_thread(own_rabbitmq.start)

    status = await quotes.read_until("status")
    assert status[-1]["feed"] == "quotes"
    assert status[-1]["upstream"] == "live"
    await until(lambda: service.ready_status() == 200, "ready")


async def test_a_client_that_stops_reading_is_noticed_by_no_other(
    make_service: MakeService,
    amqp: dict[str, str],
    broker: Broker,
    clients: Clients,
) -> None:
    """Values that it is late for are conflated, its lossless queue fills to its bound."""
    service = make_service(amqp).start()
    stalled = [_stalled(service, query) for query in ("channels=quotes.X", "channels=trades.X")]
    await until(lambda: service.stats()["connections"] == 2)
    healthy = await _ws(clients, service, channels=["trades.X"])
    pad = "x" * 1000
    messages = [
        Message("trades.X", orjson.dumps({"number": number, "pad": pad}))
        for number in range(12_000)
    ]

    async def publish() -> None:
        for start in range(0, len(messages), 500):
            await _publish_many(broker, "trades", messages[start : start + 500])
            await _publish_many(
                broker, "quotes", [m._replace(routing_key="quotes.X") for m in messages[:100]]
            )

    publishing = asyncio.create_task(publish())
    updates = await healthy.updates(len(messages))
    await publishing

    assert [update["data"]["number"] for update in updates] == list(range(len(messages)))
    await until(lambda: service.stats()["closes"].get("sse", {}).get("slow") == 1, "closed slow")
    assert service.stats()["closes"]["sse"] == {"slow": 1}, "the conflated one stays"
    assert service.stats()["connections"] == 2
    for sock in stalled:
        sock.close()


def _stalled(service: ServiceProcess, query: str) -> socket.socket:
    """A client that asks and never reads."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", service.port))
    sock.sendall(f"GET /v1/sse?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return sock


async def test_sigterm_tells_the_clients_and_ends_in_order(
    make_service: MakeService, amqp: dict[str, str], clients: Clients
) -> None:
    """closing for everybody, status 0, and nothing unclean in the log."""
    service = make_service({**amqp, "STOP__DRAIN_S": "0.5"}).start()
    events = await _sse(clients, service, "quotes.%23,trades.%23")
    talk = await _ws(clients, service, channels=["trades.#"])

    status = await asyncio.to_thread(service.stop)

    assert status == 0, service.output
    assert (await events.read_until("closing"))[-1]["reason"] == "drain"
    assert (await talk.read_until("closing"))[-1]["reason"] == "drain"
    for word in ("Traceback", "never retrieved", "was destroyed", "Unclosed"):
        assert word not in service.output, service.output
