"""A conflated feed with ``warm``: values survive a rollout and an outage, on a real node."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import pytest

from loadtest.rig.waiting import until
from tests.support.amqp import delete, options, proxied, proxy_to
from tests.support.broker import CONFLATED, Recorder, running, source
from tickfan.broker.amqp import AmqpBroker
from tickfan.broker.base import FeedSource, Message
from tickfan.core.feed import Upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import Rabbit


@pytest.fixture
async def feed(rabbitmq: Rabbit) -> AsyncIterator[FeedSource]:
    """A conflated feed with a stream, which is deleted after the test."""
    made = source(CONFLATED, prefetch=100, warm="1h")
    made = replace(made, queue=f"q-{made.spec.name}.warm")
    yield made
    await delete(rabbitmq.url, made.queue)


@asynccontextmanager
async def consuming(url: str, feed: FeedSource, **settings: Any) -> AsyncIterator[Recorder]:
    """What a running broker's sink gets, from the moment that it is live."""
    sink = Recorder()
    async with running(AmqpBroker([feed], sink, options(url, probe_interval_s=0.2, **settings))):
        await until(lambda: sink.is_live(feed.spec.name))
        yield sink


class Load:
    """Publishes rising numbers on some channels, without a pause, until it is ended."""

    def __init__(self, url: str, feed: FeedSource) -> None:
        self.broker = AmqpBroker([feed], None, options(url))
        self.newest: dict[str, int] = {}
        self._feed = feed
        self._enough = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def publish(self, channel: str, number: int, *, batch: bool = False) -> None:
        """One number on one channel."""
        name = self._feed.spec.name
        message = Message(f"{name}.{channel}", str(number).encode(), batch=batch)
        await self.broker.publish(name, message)
        self.newest[message.routing_key] = number

    async def __aenter__(self) -> Self:
        await self.publish("quiet", 1)
        self._task = asyncio.ensure_future(self._run())
        return self

    async def stop(self) -> None:
        """Publish no more."""
        self._enough.set()
        if self._task is not None:
            await self._task

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        await self.broker.close()

    async def _run(self) -> None:
        number = 0
        while not self._enough.is_set():
            number += 1
            # The busy channels come in any order, each with numbers that rise;
            # some values are seen for a second only, then their channel is quiet.
            async with asyncio.TaskGroup() as group:
                for channel in ("a", "b", f"once{number // 20}"):
                    group.create_task(self.publish(channel, number))


def newest(sink: Recorder) -> dict[str, int]:
    """The last value of each channel."""
    return {delivery.routing_key: int(delivery.body) for delivery in sink.deliveries}


def never_back(sink: Recorder) -> bool:
    """Whether the values of each channel only rise."""
    by_channel: dict[str, list[int]] = {}
    for delivery in sink.deliveries:
        by_channel.setdefault(delivery.routing_key, []).append(int(delivery.body))
    return all(a <= b for values in by_channel.values() for a, b in pairwise(values))


def not_doubled(sink: Recorder) -> bool:
    """Whether each message came once."""
    came = [(delivery.routing_key, delivery.body) for delivery in sink.deliveries]
    return len(set(came)) == len(came)


async def test_a_fresh_replica_knows_quiet_channels(rabbitmq: Rabbit, feed: FeedSource) -> None:
    """What nobody publishes any more is there, in order, when the feed is live."""
    async with Load(rabbitmq.url, feed) as load:
        await load.stop()
        for number in range(2, 500):
            await load.publish("a", number)
        async with consuming(rabbitmq.url, feed) as sink:
            assert newest(sink) == load.newest
            assert never_back(sink)
            assert all(delivery.fingerprint is None for delivery in sink.deliveries)
            await load.publish("quiet", 2)
            await until(lambda: newest(sink) == load.newest)


async def test_attach_under_load(rabbitmq: Rabbit, feed: FeedSource) -> None:
    """While values rise: live with all newest ones, none goes back, none is doubled."""
    async with Load(rabbitmq.url, feed) as load:
        await until(lambda: len(load.newest) > 10)
        for _ in range(2):
            async with consuming(rabbitmq.url, feed) as sink:
                at_live = newest(sink)
                assert at_live.keys() >= {f"{feed.spec.name}.quiet", f"{feed.spec.name}.once0"}
                seen = len(sink.deliveries)
                await until(lambda sink=sink, seen=seen: len(sink.deliveries) > seen + 300)  # type: ignore[misc]
                assert never_back(sink)
                assert not_doubled(sink)
        async with consuming(rabbitmq.url, feed) as sink:
            await load.stop()
            await until(lambda: newest(sink) == load.newest)
            assert never_back(sink)
            assert not_doubled(sink)


async def test_reconnect_under_load(rabbitmq: Rabbit, feed: FeedSource) -> None:
    """After each cut the newest of what was published meanwhile comes; nothing goes back."""
    name = feed.spec.name
    async with (
        Load(rabbitmq.url, feed) as load,
        proxy_to(rabbitmq.url) as proxy,
        consuming(proxied(rabbitmq.url, proxy), feed) as sink,
    ):
        for round_ in range(2):
            seen = len(sink.deliveries)
            await until(lambda seen=seen: len(sink.deliveries) > seen + 300)  # type: ignore[misc]
            await proxy.cut(refuse=True)
            await until(lambda: sink.state(name) is Upstream.STALE)
            await load.publish("away", round_)
            proxy.resume()
            await until(lambda: sink.is_live(name))
            assert newest(sink)[f"{name}.away"] == round_
        await load.stop()
        await until(lambda: newest(sink) == load.newest)
        assert never_back(sink)
        assert all(why == "" for _, state, why in sink.states if state is Upstream.LIVE)


async def test_only_the_outage_is_read_again(rabbitmq: Rabbit, feed: FeedSource) -> None:
    """What was received long before a cut does not come again after it."""
    async with (
        Load(rabbitmq.url, feed) as load,
        proxy_to(rabbitmq.url) as proxy,
        consuming(proxied(rabbitmq.url, proxy), feed) as sink,
    ):
        await load.stop()
        await asyncio.sleep(3.2)  # the messages have to become older than the margin
        seen = len(sink.deliveries)
        await proxy.cut()
        await until(lambda: sink.state(feed.spec.name) is Upstream.STALE)
        await until(lambda: sink.is_live(feed.spec.name))
        assert len(sink.deliveries) == seen


async def test_batches_all_come_again(rabbitmq: Rabbit, feed: FeedSource) -> None:
    """After a cut no batch stands for another: each may hold channels of its own."""
    async with (
        Load(rabbitmq.url, feed) as load,
        proxy_to(rabbitmq.url) as proxy,
        consuming(proxied(rabbitmq.url, proxy), feed) as sink,
    ):
        await load.stop()
        await proxy.cut(refuse=True)
        await until(lambda: sink.state(feed.spec.name) is Upstream.STALE)
        for number in range(5):
            await load.publish("batch", number, batch=True)
            await load.publish("single", number)
        proxy.resume()
        await until(lambda: sink.is_live(feed.spec.name))
        name = feed.spec.name
        got = {
            key: [int(d.body) for d in sink.deliveries if d.routing_key == f"{name}.{key}"]
            for key in ("batch", "single")
        }
        assert got == {"batch": [0, 1, 2, 3, 4], "single": [4]}


async def test_more_than_the_prefetch_meanwhile(rabbitmq: Rabbit, feed: FeedSource) -> None:
    """What the stream has given and the queue still holds is not handed over again."""
    narrow = replace(feed, prefetch=4)
    async with Load(rabbitmq.url, narrow) as load:
        await until(lambda: len(load.newest) > 5)
        async with consuming(rabbitmq.url, narrow) as sink:
            await load.stop()
            await until(lambda: newest(sink) == load.newest)
            assert never_back(sink)
            assert not_doubled(sink)


async def test_a_warm_stream_that_is_wrong(rabbitmq: Rabbit, feed: FeedSource) -> None:
    """Other arguments, or no stream at all: named, and live without the past."""
    name = feed.spec.name
    async with Load(rabbitmq.url, feed) as load:
        await load.stop()
        async with consuming(rabbitmq.url, replace(feed, retention_age="2h")) as sink:
            assert "without the values of the last 1h" in sink.why(name)
            assert "retention_age" in sink.why(name)
            assert sink.deliveries == []
            await load.publish("a", 7)
            await until(lambda: newest(sink) == {f"{name}.a": 7})
        missing = replace(feed, queue=f"{feed.queue}.none")
        async with consuming(rabbitmq.url, missing, declare=False) as sink:
            assert f"{missing.queue}' does not exist" in sink.why(name)
        async with consuming(rabbitmq.url, feed, declare=False) as sink:
            assert sink.why(name) == ""
            assert newest(sink) == load.newest


async def test_nothing_as_young_as_warm(rabbitmq: Rabbit, feed: FeedSource) -> None:
    """A past that is older than ``warm`` is left alone; an empty one is no trouble."""
    async with consuming(rabbitmq.url, feed) as sink:
        assert sink.deliveries == []
        async with Load(rabbitmq.url, feed) as load:
            await load.stop()
            await until(lambda: newest(sink) == load.newest)
            await asyncio.sleep(1.1)  # the messages have to become older than warm
            async with consuming(rabbitmq.url, replace(feed, warm="1s")) as late:
                assert late.deliveries == []
                await load.publish("a", 99)
                await until(lambda: newest(late) == {f"{feed.spec.name}.a": 99})
