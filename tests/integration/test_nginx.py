"""Behind a real nginx, with the configuration that we recommend."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from service.app import build_broker
from service.config import load
from tests.support.browser import Browser
from tests.support.follower import Follower
from tests.support.live import until
from tests.support.nginx import Nginx
from tests.support.survival import Publisher

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.integration.conftest import MakeService

MESSAGES = 12_000
DEADLINE_S = 90


async def test_a_rolling_restart_behind_nginx_loses_no_update(
    make_service: MakeService,
    amqp: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Two replicas restarted in turn under load: every follower gets every update once."""
    settings = {**amqp, "STOP__DRAIN_S": "1", "STREAM__RETRY_MS": "200"}
    replicas = [make_service(settings) for _ in range(2)]
    await asyncio.gather(*(asyncio.to_thread(replica.start) for replica in replicas))
    channels = [f"trades.C{index}" for index in range(5)]
    environ = {f"TICKFAN_{name}": value for name, value in amqp.items()}
    broker = build_broker(load(None, environ), None)
    publisher = Publisher(broker, channels)
    everything = {channel: set(range(index, MESSAGES, 5)) for index, channel in enumerate(channels)}

    def done(follower: Follower) -> bool:
        return publisher.count == MESSAGES and all(
            everything[channel] <= set(follower.seen[channel]) for channel in follower.channels
        )

    with Nginx(tmp_path, [replica.port for replica in replicas]) as nginx:
        followers = [
            Follower(
                f"follower {index}", [nginx.url], channels[: 1 + index % 3],
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

    with capsys.disabled():
        print(  # noqa: T201 - the figures of the run
            f"\nrolling restart behind nginx: {MESSAGES:,} messages, {len(followers)} followers, "
            f"{sum(f.connects for f in followers)} connects, "
            f"closings {sorted({reason for f in followers for reason in f.closings})}"
        )
    assert not [follower.resets for follower in followers if follower.resets]
    for follower in followers:
        for channel in follower.channels:
            assert follower.seen[channel] == sorted(everything[channel])
    assert sum("drain" in follower.closings for follower in followers) == len(followers)


async def test_an_eventsource_outlives_the_absence_of_every_replica(
    make_service: MakeService, amqp: dict[str, str], tmp_path: Path
) -> None:
    """In a real browser: all replicas go and come back, and each update is seen once."""
    settings = {**amqp, "STOP__DRAIN_S": "0", "STREAM__RETRY_MS": "200"}
    replica = make_service(settings).start()
    environ = {f"TICKFAN_{name}": value for name, value in amqp.items()}
    broker = build_broker(load(None, environ), None)
    publisher = Publisher(broker, ["trades.X"])
    with Nginx(tmp_path, [replica.port, replica.port]) as nginx:
        async with Browser() as browser:
            await browser.open(f"{nginx.url}/v1/channels")
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


async def _until_script(browser: Browser, condition: str) -> None:
    async with asyncio.timeout(30):
        while not await browser.run(condition):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
