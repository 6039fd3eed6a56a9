"""Behind a real nginx and a real HAProxy, with the configurations that we recommend."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from loadtest.rig.follower import Follower
from loadtest.rig.survival import Publisher
from loadtest.rig.waiting import DEADLINE_S, until
from tests.support.browser import Browser
from tests.support.frontproxy import Ports
from tests.support.haproxy import Haproxy
from tests.support.nginx import Nginx
from tests.support.raw import connect, request
from tickfan.config import load
from tickfan.core.closing import REASONS
from tickfan.parts import build_broker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from loadtest.rig.process import ServiceProcess
    from tests.integration.conftest import MakeService
    from tests.support.fixtures import MakeLive
    from tests.support.frontproxy import FrontProxy
    from tests.support.live import Live
    from tickfan.broker.base import Broker

    Proxy = type[FrontProxy]

MESSAGES = 12_000
RESTARTS_S = 240
IDLE_TIMEOUT_S = 5


@pytest.fixture(params=[Nginx, Haproxy], ids=lambda proxy: proxy.__name__.lower())
def proxy(request: pytest.FixtureRequest) -> Proxy:
    """Which one."""
    found: Proxy = request.param
    return found


def _replicas(live: Live) -> list[Ports]:
    """One service, as if it were two."""
    port, admin_port = live.client.port, live.admin.port
    assert port is not None
    assert admin_port is not None
    return [Ports(port, admin_port)] * 2


def _publisher(amqp: dict[str, str], channels: list[str]) -> tuple[Broker, Publisher]:
    # On a busy machine a confirm comes late: what is published again comes twice.
    patient = {**amqp, "BROKER__PUBLISH_TIMEOUT_S": "60"}
    environ = {f"TICKFAN_{name}": value for name, value in patient.items()}
    broker = build_broker(load(None, environ), None)
    return broker, Publisher(broker, channels)


async def test_a_rolling_restart_loses_no_update(
    proxy: Proxy,
    make_service: MakeService,
    amqp: dict[str, str],
    tmp_path: Path,
    figures: Callable[[str], None],
) -> None:
    """Two replicas restarted in turn under load: every follower gets every update once."""
    settings = {**amqp, "STOP__DRAIN_S": "1", "STREAM__RETRY_MS": "200"}
    replicas = [make_service(settings) for _ in range(2)]
    await asyncio.gather(*(asyncio.to_thread(replica.start) for replica in replicas))
    channels = [f"trades.C{index}" for index in range(5)]
    broker, publisher = _publisher(amqp, channels)
    everything = {channel: set(range(index, MESSAGES, 5)) for index, channel in enumerate(channels)}

    def done(follower: Follower) -> bool:
        return publisher.count == MESSAGES and all(
            everything[channel] <= set(follower.seen[channel]) for channel in follower.channels
        )

    with proxy(tmp_path, replicas) as front:
        followers = [
            Follower(
                f"follower {index}", [front.url], channels[: 1 + index % 3],
                ("sse", "ws", "ndjson")[index % 3], rng=random.Random(index),
            )
            for index in range(18)
        ]  # fmt: skip
        async with asyncio.timeout(RESTARTS_S), asyncio.TaskGroup() as tasks:
            for follower in followers:
                tasks.create_task(follower.run(done))
            for follower in followers:
                await until(follower.is_subscribed.is_set, "everybody is subscribed", seconds=60)
            for replica in replicas:
                publishing = tasks.create_task(publisher.publish(MESSAGES // 4))
                assert await asyncio.to_thread(replica.stop) == 0
                await asyncio.to_thread(replica.start)
                await publishing
                await publisher.publish(MESSAGES // 4)
    await broker.close()

    figures(
        f"rolling restart behind {proxy.__name__}: {MESSAGES:,} messages, "
        f"{len(followers)} followers, {sum(f.connects for f in followers)} connects, "
        f"closings {sorted({reason for f in followers for reason in f.closings})}"
    )
    assert not [follower.resets for follower in followers if follower.resets]
    for follower in followers:
        for channel in follower.channels:
            assert follower.seen[channel] == sorted(everything[channel])
    assert sum("drain" in follower.closings for follower in followers) == len(followers)


async def test_the_log_names_the_client_and_not_the_proxy(
    proxy: Proxy, make_live: MakeLive, tmp_path: Path
) -> None:
    """On each wire; and what a client itself writes into the headers does not even arrive.

    So it is true, too, where the service trusts more than this proxy.
    """
    live = await make_live(HTTP__TRUSTED_PROXIES='["127.0.0.0/8", "203.0.113.0/24"]')
    lies = {"X-Forwarded-For": "198.51.100.9, 203.0.113.7", "Forwarded": "for=198.51.100.9"}
    with proxy(tmp_path, _replicas(live)) as front, capture_logs() as logs:
        away = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
        async with aiohttp.ClientSession(front.url, connector=away, headers=lies) as http:
            for wire in ("sse", "ndjson"):
                async with http.get(f"/v1/{wire}?channels=quotes.A") as response:
                    await response.content.readline()
            async with http.ws_connect("/v1/ws") as socket:
                await socket.receive()
        await until(lambda: not live.service.connected, "they have left")
    ends = [line["remote"] for line in logs if line["event"] == "connection ended"]
    assert ends == ["127.0.0.2"] * 3


async def test_a_replica_hears_what_the_browser_asked(proxy: Proxy, tmp_path: Path) -> None:
    """Host with its port, and the scheme: a page of the same origin is known by them.

    What the client says of its scheme and its address does not arrive.
    """
    heard: asyncio.Queue[dict[str, list[str]]] = asyncio.Queue()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
        headers: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            headers.setdefault(name.lower(), []).append(value)
        heard.put_nowait(headers)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    lies = {
        "X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https", "Forwarded": "for=_x",
    }  # fmt: skip
    async with _listening(take) as port:
        with proxy(tmp_path, [Ports(port, port)] * 2) as front:
            async with aiohttp.ClientSession(front.url, headers=lies) as http:
                for path in ("/v1/sse", "/v1/ndjson", "/v1/ws", "/v1/channels"):
                    async with http.get(path):
                        pass
                    headers = await asyncio.wait_for(heard.get(), DEADLINE_S)
                    while "x-forwarded-for" not in headers:  # HAProxy's own check of the replica
                        headers = await asyncio.wait_for(heard.get(), DEADLINE_S)
                    assert headers["host"] == [f"127.0.0.1:{front.port}"]
                    assert headers["x-forwarded-proto"] == ["http"]
                    assert headers["x-forwarded-for"] == ["127.0.0.1"]
                    assert "forwarded" not in headers


@contextlib.asynccontextmanager
async def _browsing(
    proxy: Proxy, make_service: MakeService, amqp: dict[str, str], tmp_path: Path
) -> AsyncIterator[tuple[FrontProxy, Browser, ServiceProcess, Publisher]]:
    """A browser in front of a proxy for one replica, and a publisher behind it."""
    replica = make_service(
        {**amqp, "STOP__DRAIN_S": "0", "STOP__GRACE_S": "300", "STREAM__RETRY_MS": "200"}
    )
    await asyncio.to_thread(replica.start)
    broker, publisher = _publisher(amqp, ["trades.X"])
    with proxy(tmp_path, [replica, replica]) as front:
        async with Browser() as browser:
            yield front, browser, replica, publisher
    await broker.close()


async def test_an_eventsource_outlives_the_absence_of_every_replica(
    proxy: Proxy, make_service: MakeService, amqp: dict[str, str], tmp_path: Path
) -> None:
    """In a real browser: all replicas go and come back, and each update is seen once."""
    async with _browsing(proxy, make_service, amqp, tmp_path) as parts:
        front, browser, replica, publisher = parts
        await browser.open(f"{front.url}/static/icon.svg")
        await browser.run("""
            window.seen = []; window.events = [];
            window.source = new EventSource('/v1/sse?channels=trades.X');
            source.onmessage = (event) => seen.push(JSON.parse(event.data).data);
            for (const name of ['snapshot_end', 'closing', 'reset'])
                source.addEventListener(name, (event) => events.push(
                    name + ':' + (JSON.parse(event.data).reason ?? '')));
            true
        """)
        await browser.until("events.includes('snapshot_end:')")
        await publisher.publish(100)
        await browser.until("seen.length == 100")

        # The proxy's idle connections to it are no reason to use up the grace, 300 s.
        assert await asyncio.to_thread(replica.stop) == 0
        await browser.until("events.includes('closing:unavailable')")
        assert await browser.run("source.readyState") != 2, "EventSource has given up"
        await publisher.publish(100)
        await asyncio.to_thread(replica.start)
        await publisher.publish(100)
        await browser.until("seen.length >= 300")

        assert await browser.run("seen") == list(range(300))
        events = await browser.run("events")
    assert "closing:drain" in events
    assert not [event for event in events if event.startswith("reset")]


@pytest.mark.parametrize("fault", ["refuses", "cuts", "is silent", "is starting"])
async def test_who_finds_no_replica_is_told_so_in_our_words(
    proxy: Proxy, fault: str, tmp_path: Path
) -> None:
    """No page of the proxy's, which no client understands, and which ends an EventSource."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if fault == "is silent":
            await reader.read()
        if fault == "is starting":
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"\r\ntickfan-ask-next: 1\r\n" in head.lower()
            writer.write(b"HTTP/1.1 503 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    async def ready(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    async with _listening(take) as port, _listening(ready) as admin_port:
        replicas = [Ports(1 if fault == "refuses" else port, admin_port)] * 2
        with proxy(tmp_path, replicas, idle_timeout_s=1) as front:
            # On a kept connection HAProxy may close without an answer: the client asks again.
            once = aiohttp.TCPConnector(force_close=True)
            async with aiohttp.ClientSession(front.url, connector=once) as session:
                for method, slash in (("GET", ""), ("GET", "/"), ("POST", "")):
                    await _is_sent_away(session, method, slash)
                if fault == "is starting":
                    return  # the service's own answer, also on a WebSocket
                for path in ("/v1/ws", "/v1/channels"):
                    async with session.get(path, headers=_upgrade(path)) as answer:
                        assert answer.status in {502, 503, 504}
                        assert answer.headers["Retry-After"] == "2"
                        body = await answer.json()
                    assert body["error"] == body["errors"][0]
                    assert body["error"]["code"] == "unavailable"


async def _is_sent_away(session: aiohttp.ClientSession, method: str, slash: str) -> None:
    async with session.request(method, f"/v1/sse{slash}?channels=trades.A") as answer:
        retry, event, data, end = (await answer.text()).split("\n", 3)
        _is_a_stream(answer, "text/event-stream")
    assert (retry, event, end) == ("retry: 2000", "event: closing", "\n")
    closing = json.loads(data.removeprefix("data: "))
    assert closing == {
        "reason": "unavailable",
        "code": REASONS["unavailable"].code,
        "message": REASONS["unavailable"].message,
        "retry_ms": 2000,
    }
    async with session.request(method, f"/v1/ndjson{slash}?channels=trades.A") as answer:
        [line] = (await answer.text()).splitlines()
        _is_a_stream(answer, "application/x-ndjson")
    assert json.loads(line) == {"event": "closing", **closing}


def _is_a_stream(answer: aiohttp.ClientResponse, content_type: str) -> None:
    assert answer.status == 200
    assert answer.content_type == content_type
    assert answer.headers["Cache-Control"] == "no-store, no-transform"


def _upgrade(path: str) -> dict[str, str]:
    if path != "/v1/ws":
        return {}
    return {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip


@contextlib.asynccontextmanager
async def _listening(
    take: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """A server's port; all its connections are over in the end, so the proxy must be."""
    handling: set[asyncio.Task[None] | None] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handling.add(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await take(reader, writer)
        with contextlib.suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*filter(None, handling))


async def test_nothing_is_held_back_and_no_quiet_stream_is_cut(
    proxy: Proxy, make_live: MakeLive, tmp_path: Path
) -> None:
    """SSE, NDJSON and WebSocket, with the proxy's time-outs shortened as much as our beats."""
    live = await make_live(STREAM__HEARTBEAT_S="1", STREAM__PING_S="1")
    with proxy(tmp_path, _replicas(live), idle_timeout_s=IDLE_TIMEOUT_S) as front:
        async with aiohttp.ClientSession(front.url) as session:
            sse = await session.get("/v1/sse?channels=trades.A")
            lines = await session.get("/v1/ndjson?channels=trades.A")
            socket = await session.ws_connect("/v1/ws", protocols=["tickfan.json.v1"])
            await socket.send_json({"op": "subscribe", "channels": ["trades.A"]})
            await _all_see("snapshot_end", sse, lines, socket)
            for number in range(3):
                await live.publish("trades.A", f"only-{number}")
                await _all_see(f"only-{number}", sse, lines, socket)
            assert sse.headers["Content-Type"].startswith("text/event-stream")
            assert "Content-Encoding" not in sse.headers
            # Half as long again as the proxy would wait for a stream that is dead.
            began = live.service.loop.time()
            beats = 0
            while live.service.loop.time() < began + 1.5 * IDLE_TIMEOUT_S:
                beats += b"heartbeat" in await asyncio.wait_for(
                    lines.content.readline(), DEADLINE_S
                )
            assert beats
            await live.publish("trades.A", "the last")
            await _all_see("the last", sse, lines, socket)
            assert live.service.connected == 3
            sse.close()
            lines.close()
            await socket.close()


async def _all_see(
    mark: str,
    sse: aiohttp.ClientResponse,
    lines: aiohttp.ClientResponse,
    socket: aiohttp.ClientWebSocketResponse,
) -> None:
    """On each wire at once: what is sent is well below any buffer's size."""

    async def from_http(response: aiohttp.ClientResponse) -> None:
        while mark.encode() not in await response.content.readline():
            pass

    async def from_socket() -> None:
        while mark not in (await socket.receive_str()):
            pass

    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(from_http(sse), from_http(lines), from_socket())


async def test_the_page_works_behind_it(
    proxy: Proxy, make_service: MakeService, amqp: dict[str, str], tmp_path: Path
) -> None:
    """In a real browser: its files, its WebSocket, and a replica that is replaced under it."""
    async with _browsing(proxy, make_service, amqp, tmp_path) as parts:
        front, browser, replica, publisher = parts
        await browser.visit(f"{front.url}/?channels=trades.X")
        await browser.until("document.body.dataset.state == 'live'")
        await publisher.publish(20)
        await browser.until("document.querySelectorAll('#tape tbody tr').length == 20")
        assert await asyncio.to_thread(replica.stop) == 0
        await browser.until("document.body.dataset.state == 'waiting'")
        await publisher.publish(20)
        await asyncio.to_thread(replica.start)
        await browser.until("document.querySelectorAll('#tape tbody tr').length == 40")
        assert await browser.run("document.body.dataset.state") == "live"
        assert "reset" not in await browser.run("document.querySelector('#events').innerText")


async def test_a_client_that_goes_is_gone(
    proxy: Proxy, make_live: MakeLive, tmp_path: Path
) -> None:
    """Closed or cut: the service hears of it at once, not when a heartbeat cannot be written."""
    live = await make_live(STREAM__HEARTBEAT_S=str(2 * DEADLINE_S))
    with proxy(tmp_path, _replicas(live)) as front:
        for is_cut in (False, True):
            async with connect(front.port, request("/v1/ndjson?channels=trades.A")) as wire:
                await wire.up_to(b"snapshot_end")
                assert live.service.connected == 1
                if is_cut:
                    wire.cut()
            await until(lambda: not live.service.connected, "the service has heard")


CHANNELS = 300
VALUE = "x" * 700


async def test_a_stalled_client_holds_a_bounded_amount_of_old_data(
    proxy: Proxy, make_live: MakeLive, tmp_path: Path
) -> None:
    """Of 20 MB that went by; without a bound for send buffers it is more than 4 MiB.

    The client does not read. Its subscription is conflated: what is old was written
    before the stall was felt, and could not be taken back.
    """
    live = await make_live(STREAM__HEARTBEAT_S="1")
    with proxy(tmp_path, _replicas(live)) as front:
        path = "/v1/ndjson?channels=quotes.%23&interval_ms=50&snapshot=0"
        # HTTP/1.0, whose body has no chunks: a proxy's may begin in mid-line.
        asked = request(path, version="1.0")
        async with connect(front.port, asked, receive_bytes=4096) as wire:
            await wire.up_to(b'"snapshot_end"')
            for round_ in range(100):
                entries = [
                    {"channel": f"quotes.{index}", "data": [round_, VALUE]}
                    for index in range(CHANNELS)
                ]
                await live.publish_batch("quotes", entries)
                await asyncio.sleep(0.02)  # the market's pace: a round fits a tick
            assert len(live.service.pump) == 1, "the stall has been felt"
            old = 0
            newest: set[str] = set()
            while len(newest) < CHANNELS:
                line = await wire.up_to(b"\n")
                if not line.startswith(b'{"channel"'):
                    continue  # an event
                update: dict[str, Any] = json.loads(line)
                if update["data"][0] == 99:
                    newest.add(update["channel"])
                else:
                    old += len(line)
    assert old < 512 * 1024
