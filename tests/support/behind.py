"""What must hold behind any proxy: the same stories for each of them.

Must not know which proxy it is.
"""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING, Any

import aiohttp

from service.app import build_broker
from service.config import load
from tests.support.browser import Browser
from tests.support.follower import Follower
from tests.support.live import until
from tests.support.raw import connect, request
from tests.support.survival import Publisher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from service.broker.base import Broker
    from tests.support.frontproxy import FrontProxy
    from tests.support.live import Live
    from tests.support.process import ServiceProcess

    MakeProxy = Callable[[Sequence[ServiceProcess]], FrontProxy]

MESSAGES = 12_000
DEADLINE_S = 90


def publisher_for(amqp: dict[str, str], channels: list[str]) -> tuple[Broker, Publisher]:
    environ = {f"TICKFAN_{name}": value for name, value in amqp.items()}
    broker = build_broker(load(None, environ), None)
    return broker, Publisher(broker, channels)


async def rolling_restart(
    replicas: Sequence[ServiceProcess],
    make_proxy: MakeProxy,
    amqp: dict[str, str],
    figures: Callable[[str], None],
) -> None:
    """Replicas restarted in turn under load: every follower gets every update once."""
    await asyncio.gather(*(asyncio.to_thread(replica.start) for replica in replicas))
    channels = [f"trades.C{index}" for index in range(5)]
    broker, publisher = publisher_for(amqp, channels)
    everything = {channel: set(range(index, MESSAGES, 5)) for index, channel in enumerate(channels)}

    def done(follower: Follower) -> bool:
        return publisher.count == MESSAGES and all(
            everything[channel] <= set(follower.seen[channel]) for channel in follower.channels
        )

    with make_proxy(replicas) as proxy:
        followers = [
            Follower(
                f"follower {index}", [proxy.url], channels[: 1 + index % 3],
                ("sse", "ws", "ndjson")[index % 3], rng=random.Random(index),
            )
            for index in range(18)
        ]  # fmt: skip
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
            for follower in followers:
                tasks.create_task(follower.run(done))
            for follower in followers:
                await until(follower.is_subscribed.is_set, "everybody is subscribed", seconds=30)
            for replica in replicas:
                publishing = tasks.create_task(publisher.publish(MESSAGES // 4))
                assert await asyncio.to_thread(replica.stop) == 0
                await asyncio.to_thread(replica.start)
                await publishing
                await publisher.publish(MESSAGES // 4)
    await broker.close()

    figures(
        f"rolling restart behind {type(proxy).__name__}: {MESSAGES:,} messages, "
        f"{len(followers)} followers, {sum(f.connects for f in followers)} connects, "
        f"closings {sorted({reason for f in followers for reason in f.closings})}"
    )
    assert not [follower.resets for follower in followers if follower.resets]
    for follower in followers:
        for channel in follower.channels:
            assert follower.seen[channel] == sorted(everything[channel])
    assert sum("drain" in follower.closings for follower in followers) == len(followers)


async def absence_of_every_replica(
    replica: ServiceProcess, make_proxy: MakeProxy, amqp: dict[str, str]
) -> None:
    """In a real browser: all replicas go and come back, and each update is seen once."""
    await asyncio.to_thread(replica.start)
    broker, publisher = publisher_for(amqp, ["trades.X"])
    with make_proxy([replica, replica]) as proxy:
        async with Browser() as browser:
            await browser.open(f"{proxy.url}/v1/channels")
            await browser.run("""
                window.seen = []; window.events = [];
                window.source = new EventSource('/v1/sse?channels=trades.X');
                source.onmessage = (event) => seen.push(JSON.parse(event.data).data);
                for (const name of ['snapshot_end', 'closing', 'reset'])
                    source.addEventListener(name, (event) => events.push(
                        name + ':' + (JSON.parse(event.data).reason ?? '')));
                true
            """)
            await _until_script(browser, "events.includes('snapshot_end:')")
            await publisher.publish(100)
            await _until_script(browser, "seen.length == 100")

            assert await asyncio.to_thread(replica.stop) == 0
            await _until_script(browser, "events.includes('closing:unavailable')")
            assert await browser.run("source.readyState") != 2, "EventSource has given up"
            await publisher.publish(100)
            await asyncio.to_thread(replica.start)
            await publisher.publish(100)
            await _until_script(browser, "seen.length >= 300")

            assert await browser.run("seen") == list(range(300))
            events = await browser.run("events")
    await broker.close()
    assert "closing:drain" in events
    assert not [event for event in events if event.startswith("reset")]


async def nothing_is_held_back_or_cut(live: Live, proxy: FrontProxy, idle_timeout_s: int) -> None:
    """Each update comes at once, and a quiet stream outlives the proxy's idle time-out.

    ``live`` beats faster than that.
    """
    with proxy:
        async with aiohttp.ClientSession(proxy.url) as session:
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
            began = live.hub.loop.time()
            beats = 0
            while live.hub.loop.time() < began + 1.5 * idle_timeout_s:
                beats += b"heartbeat" in await asyncio.wait_for(lines.content.readline(), 5)
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

    async with asyncio.timeout(2):
        await asyncio.gather(from_http(sse), from_http(lines), from_socket())


async def who_has_gone_is_gone(live: Live, proxy: FrontProxy) -> None:
    """The service hears of it at once, not when a heartbeat (15 s) cannot be written."""
    with proxy:
        for is_cut in (False, True):
            async with connect(proxy.port, request("/v1/ndjson?channels=trades.A")) as wire:
                await wire.up_to(b"snapshot_end")
                assert live.service.connected == 1
                if is_cut:
                    wire.cut()
            await until(lambda: not live.service.connected, "the service has heard", seconds=5)


CHANNELS = 300
VALUE = "x" * 700


async def old_data_of_a_stalled_client(live: Live, proxy: FrontProxy) -> int:
    """Bytes of values that were no longer the newest, and still came after a stall.

    20 MB go by while the client does not read. Its subscription is conflated:
    what is old was written before the stall was felt, and could not be taken back.
    """
    with proxy:
        path = "/v1/ndjson?channels=quotes.%23&interval_ms=50&snapshot=0"
        # HTTP/1.0, whose body has no chunks: a proxy's may begin in mid-line.
        asked = request(path, version="1.0")
        async with connect(proxy.port, asked, receive_bytes=4096) as wire:
            await wire.up_to(b'"snapshot_end"')
            for round_ in range(100):
                entries = [
                    {"channel": f"quotes.{index}", "data": [round_, VALUE]}
                    for index in range(CHANNELS)
                ]
                await live.publish_batch("quotes", entries)
                await asyncio.sleep(0.02)  # the market's pace: a round fits a tick
            assert len(live.hub.pump) == 1, "the stall has been felt"
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
    return old


async def _until_script(browser: Browser, condition: str) -> None:
    async with asyncio.timeout(30):
        while not await browser.run(condition):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
