"""Lossless means lossless: clients, replicas, links and the broker fail; no update is lost."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from service.app import build_broker
from service.broker.base import Message, PublishError
from service.config import load
from tests.support.faults import Stage, schedule
from tests.support.follower import Follower
from tests.support.live import until

if TYPE_CHECKING:
    from pathlib import Path

    from service.broker.base import Broker
    from tests.support.rabbitmq import RabbitNode

SEED = 20261120
IN_FLIGHT = 250
DEADLINE_S = 240


class Publisher:
    """Publishes numbers, again until confirmed; what may have come twice is noted."""

    def __init__(self, broker: Broker, channels: list[str]) -> None:
        self._broker = broker
        self._channels = channels
        self.count = 0
        self.retries = 0

    async def publish(self, count: int) -> None:
        """The next ``count`` numbers, spread over the channels."""
        numbers = range(self.count, self.count + count)
        for start in range(numbers.start, numbers.stop, IN_FLIGHT):
            waiting = list(range(start, min(start + IN_FLIGHT, numbers.stop)))
            while waiting:
                results = await asyncio.gather(
                    *(self._one(number) for number in waiting), return_exceptions=True
                )
                failed = [
                    number
                    for number, result in zip(waiting, results, strict=True)
                    if isinstance(result, PublishError)
                ]
                others = [r for r in results if r is not None and not isinstance(r, PublishError)]
                assert not others, others
                self.retries += len(failed)
                waiting = failed
                if failed:
                    await asyncio.sleep(0.1)
        self.count = numbers.stop

    async def _one(self, number: int) -> None:
        channel = self._channels[number % len(self._channels)]
        await self._broker.publish("trades", Message(channel, b"%d" % number))


def _followers(urls: list[str], channels: list[str], count: int, seed: int) -> list[Follower]:
    """Of all transports, on one to three channels each; every fifth is slow."""
    rng = random.Random(seed)
    return [
        Follower(
            f"follower {index}",
            urls,
            rng.sample(channels, rng.randint(1, 3)),
            ("sse", "ws", "ndjson")[index % 3],
            rng=random.Random(seed + index),
            slow_s=0.05 if index % 5 == 0 else 0.0,
        )
        for index in range(count)
    ]


@pytest.mark.parametrize(("messages", "followers", "faults"), [(100_000, 50, 20)])
async def test_nothing_is_lost_in_silence_whatever_fails(
    own_rabbitmq: RabbitNode,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    messages: int,
    followers: int,
    faults: int,
) -> None:
    """100,000 messages, 50 subscribers, 20 faults: no silent loss, no duplicate, no reset."""
    own_rabbitmq.start()
    mine = f"survival-{uuid.uuid4().hex[:8]}"
    settings = {
        "BROKER__EXCHANGE": mine,
        "BROKER__QUEUE_PREFIX": f"{mine}.",
        "BROKER__BACKOFF_MAX_S": "1",
        "STOP__DRAIN_S": "0.5",
        "STREAM__RETRY_MS": "200",
    }
    channels = [f"trades.C{index}" for index in range(20)]
    begin = time.monotonic()
    async with Stage(own_rabbitmq, tmp_path, settings) as stage:
        broker = build_broker(
            load(None, {
                "TICKFAN_BROKER__URL": own_rabbitmq.url,
                "TICKFAN_BROKER__EXCHANGE": mine,
                "TICKFAN_BROKER__PUBLISH_TIMEOUT_S": "3",
            }), None,
        )  # fmt: skip
        publisher = Publisher(broker, channels)
        stage.followers = _followers(stage.urls, channels, followers, SEED)
        everything = {channel: set(range(index, messages, 20))
                      for index, channel in enumerate(channels)}  # fmt: skip

        def done(follower: Follower) -> bool:
            return (
                publisher.count == messages
                and all(
                    everything[channel] <= set(follower.seen[channel])
                    for channel in follower.channels
                )
                if publisher.count == messages
                else False
            )

        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
            for follower in stage.followers:
                tasks.create_task(follower.run(done))
            for follower in stage.followers:
                await until(follower.is_subscribed.is_set, "everybody is subscribed")
            for fault in schedule(SEED, faults, len(stage.replicas)):
                playing = tasks.create_task(stage.play(fault))
                await publisher.publish(messages // faults)
                await playing
        await broker.close()
        stats = [replica.stats() for replica in stage.replicas]
    seconds = time.monotonic() - begin
    with capsys.disabled():
        print(  # noqa: T201 - the figures of the run
            f"\n{messages:,} messages, {followers} subscribers, {faults} faults, {seconds:.0f} s: "
            f"{sum(len(run) for f in stage.followers for run in f.seen.values()):,} updates, "
            f"{sum(f.connects for f in stage.followers)} connects, "
            f"{publisher.retries:,} published again, resets "
            f"{[reset for f in stage.followers for reset in f.resets]}\n  "
            + "\n  ".join(stage.done)
        )
    assert not [follower.resets for follower in stage.followers if follower.resets]
    assert not [follower.gaps for follower in stage.followers if follower.gaps]
    assert all(entry["feeds"]["trades"]["upstream"] == "live" for entry in stats)
    for follower in stage.followers:
        for channel, seen in follower.seen.items():
            # What was published again may be there twice: in the stream, not on the wire.
            assert len(seen) - len(set(seen)) <= publisher.retries
            assert set(seen) == everything[channel]
