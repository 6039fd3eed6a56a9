"""A publisher, followers and a stage, run until everybody has everything.

Must not know which faults are played, nor when.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import uuid
from typing import TYPE_CHECKING

from loadtest.rig.faults import Stage
from loadtest.rig.follower import Follower
from loadtest.rig.waiting import until
from tickfan.broker.base import Message, PublishError
from tickfan.config import load
from tickfan.parts import build_broker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from loadtest.rig.rabbitmq import RabbitNode
    from tickfan.broker.base import Broker

SEED = 20261120
IN_FLIGHT = 250


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


def make_followers(urls: list[str], channels: list[str], count: int, seed: int) -> list[Follower]:
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


SETTINGS = {
    "STOP__DRAIN_S": "0.5",
    "STREAM__RETRY_MS": "200",
}


class Run:
    """Followers of a stage, and a publisher that must reach all of them."""

    def __init__(
        self,
        node: RabbitNode,
        directory: Path,
        channels: int,
        seed: int = SEED,
        deadline_s: float = 900,
    ) -> None:
        mine = f"survival-{uuid.uuid4().hex[:8]}"
        exchange = {"BROKER__EXCHANGE": mine, "BROKER__QUEUE_PREFIX": f"{mine}."}
        self.channels = [f"trades.C{index}" for index in range(channels)]
        self.stage = Stage(node, directory, {**SETTINGS, **exchange})
        environ = {**exchange, "BROKER__URL": node.url, "BROKER__PUBLISH_TIMEOUT_S": "3"}
        self._broker = build_broker(
            load(None, {f"TICKFAN_{name}": value for name, value in environ.items()}), None
        )
        self.publisher = Publisher(self._broker, self.channels)
        self.is_over = False
        self._seed = seed
        self._deadline_s = deadline_s
        self.figures = ""

    @property
    def followers(self) -> list[Follower]:
        """Those of the stage."""
        return self.stage.followers

    def everything(self, channel: str) -> set[int]:
        """The numbers that were published to the channel."""
        return set(range(self.channels.index(channel), self.publisher.count, len(self.channels)))

    def has_all(self, follower: Follower) -> bool:
        """Whether all is published, and the follower has seen all of its channels."""
        return self.is_over and all(
            # Cheap first: sets are compared when the counts say so.
            len(seen) >= len(range(0, self.publisher.count, len(self.channels))) - 1
            and self.everything(channel) <= set(seen)
            for channel, seen in follower.seen.items()
        )

    @contextlib.asynccontextmanager
    async def following(self, followers: int) -> AsyncIterator[asyncio.TaskGroup]:
        """Follow while inside, and until everybody has everything."""
        async with self.stage, asyncio.timeout(self._deadline_s), asyncio.TaskGroup() as tasks:
            self.stage.followers = make_followers(
                self.stage.urls, self.channels, followers, self._seed
            )
            for follower in self.followers:
                tasks.create_task(follower.run(self.has_all))
            for follower in self.followers:
                await until(follower.is_subscribed.is_set, "everybody is subscribed", seconds=60)
            yield tasks
            self.is_over = True
            self.figures = await self._wait()
        await self._broker.close()

    async def _wait(self) -> str:
        await until(lambda: all(map(self.has_all, self.followers)), "all is there", seconds=600)
        # The last fault may have been a moment ago.
        await until(self._all_live, "every replica is live", seconds=60)
        return self.describe()

    def _all_live(self) -> bool:
        stats = [replica.stats() for replica in self.stage.replicas]
        return all(entry["feeds"]["trades"]["upstream"] == "live" for entry in stats)

    def describe(self) -> str:
        """What was done and seen, in figures."""
        updates = sum(len(run) for f in self.followers for run in f.seen.values())
        resets = [reset for f in self.followers for reset in f.resets]
        return (
            f"{self.publisher.count:,} messages, {len(self.followers)} subscribers, "
            f"{updates:,} updates, {sum(f.connects for f in self.followers)} connects, "
            f"{self.publisher.retries:,} published again, resets {resets}"
        )

    def verify(self) -> None:
        """No reset, no gap, nothing missing, nothing twice but what was published twice."""
        for follower in self.followers:
            assert not follower.resets, follower.resets
            assert not follower.gaps, follower.gaps
            for channel, seen in follower.seen.items():
                assert set(seen) == self.everything(channel)
                # In the stream, not on the wire: the chain has been checked.
                assert len(seen) - len(set(seen)) <= self.publisher.retries


async def steadily(run: Run, messages_per_s: int, stop: asyncio.Event) -> None:
    """Publish at a pace, ten times a second, until ``stop``."""
    while not stop.is_set():
        begin = time.monotonic()
        await run.publisher.publish(messages_per_s // 10)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), max(0, begin + 0.1 - time.monotonic()))
