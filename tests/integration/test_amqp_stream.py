"""A lossless feed from a real stream: where it starts, and how it goes on after faults."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from loadtest.rig.waiting import until
from tests.support.amqp import delete, options, proxied, proxy_to
from tests.support.broker import LOSSLESS, Recorder, running, source
from tickfan.broker.amqp import AmqpBroker
from tickfan.broker.amqp.stream import LosslessFeed
from tickfan.broker.base import FeedSource, Message
from tickfan.core.feed import Upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import Rabbit


@pytest.fixture
async def feed(rabbitmq: Rabbit) -> AsyncIterator[FeedSource]:
    """A lossless feed whose stream is deleted after the test."""
    made = source(LOSSLESS, prefetch=100)
    yield made
    await delete(rabbitmq.url, made.queue)


@asynccontextmanager
async def consuming(
    url: str, feed: FeedSource, **settings: Any
) -> AsyncIterator[tuple[AmqpBroker, Recorder]]:
    """A running broker that is live."""
    sink = Recorder()
    broker = AmqpBroker([feed], sink, options(url, **settings))
    async with running(broker):
        await until(lambda: sink.is_live(feed.spec.name))
        yield broker, sink


async def publish(broker: AmqpBroker, feed: FeedSource, *bodies: int) -> None:
    """Publish numbers, in order, each confirmed before the next."""
    name = feed.spec.name
    for body in bodies:
        await broker.publish(name, Message(f"{name}.a", str(body).encode()))


def numbers(sink: Recorder, feed: FeedSource) -> list[int]:
    """The numbers that came."""
    return [int(body) for body in sink.bodies(feed.spec.name)]


async def test_replicas_agree(rabbitmq: Rabbit, feed: FeedSource) -> None:
    """Two replicas see the same offsets and fingerprints, each all of it."""
    async with (
        consuming(rabbitmq.url, feed) as (broker, one),
        consuming(rabbitmq.url, feed) as (_, other),
    ):
        await publish(broker, feed, *range(50))
        await until(lambda: len(one.deliveries) == len(other.deliveries) == 50)
        assert one.deliveries == other.deliveries


@pytest.mark.parametrize(("warm", "first"), [("1h", 0), ("first", 0), (None, 299)])
async def test_where_it_starts(
    rabbitmq: Rabbit, feed: FeedSource, warm: str | None, first: int
) -> None:
    """With ``warm`` the past comes first, without it the last message; then what is new."""
    async with consuming(rabbitmq.url, feed) as (broker, _):
        await publish(broker, feed, *range(300))
    async with consuming(rabbitmq.url, replace(feed, warm=warm)) as (broker, sink):
        # Live means that the tail of the attach has been handed over.
        assert numbers(sink, feed) == list(range(first, 300))
        await publish(broker, feed, 300)
        await until(lambda: numbers(sink, feed) == list(range(first, 301)))


async def test_warm_of_an_idle_stream(rabbitmq: Rabbit, feed: FeedSource) -> None:
    """Where nothing is as young as ``warm``, the last message still comes."""
    async with consuming(rabbitmq.url, feed) as (broker, sink):
        await publish(broker, feed, 0, 1)
        await until(lambda: len(sink.deliveries) == 2)
    await asyncio.sleep(1.1)  # the messages have to become older than warm
    async with consuming(rabbitmq.url, replace(feed, warm="1s")) as (broker, sink):
        assert numbers(sink, feed) == [1]
        await publish(broker, feed, 2)
        await until(lambda: numbers(sink, feed) == [1, 2])


async def test_empty_then_published_while_away(rabbitmq: Rabbit, feed: FeedSource) -> None:
    """A stream that was empty at the first attach loses nothing that comes while we are away."""
    async with proxy_to(rabbitmq.url) as proxy:
        through = proxied(rabbitmq.url, proxy)
        async with consuming(through, feed) as (_, sink):
            await proxy.cut(refuse=True)
            await until(lambda: sink.state(feed.spec.name) is Upstream.STALE)
            other = AmqpBroker([feed], None, options(rabbitmq.url))
            await publish(other, feed, *range(10))
            await other.close()
            proxy.resume()
            await until(lambda: numbers(sink, feed) == list(range(10)))


async def test_cuts_neither_lose_nor_repeat(rabbitmq: Rabbit, feed: FeedSource) -> None:
    """Three cuts under load: every message once, in order, and the state tells of each."""
    publisher = AmqpBroker([feed], None, options(rabbitmq.url))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(publisher.close)
        proxy = await stack.enter_async_context(proxy_to(rabbitmq.url))
        through = proxied(rabbitmq.url, proxy)
        _, sink = await stack.enter_async_context(consuming(through, feed))

        enough = asyncio.Event()
        published = 0

        async def load() -> None:
            nonlocal published
            while not enough.is_set():
                await publish(publisher, feed, *range(published, published + 10))
                published += 10
                await asyncio.sleep(0.01)  # the load's rhythm

        loading = asyncio.ensure_future(load())
        for _ in range(3):
            seen = len(sink.deliveries)
            await until(lambda seen=seen: len(sink.deliveries) > seen + 20)  # type: ignore[misc]
            await proxy.cut()
            await until(lambda: sink.state(feed.spec.name) is Upstream.STALE)
            await until(lambda: sink.is_live(feed.spec.name))
        enough.set()
        await loading
        await until(lambda: len(sink.deliveries) >= published)
        assert numbers(sink, feed) == list(range(published))
        assert sink.offsets(feed.spec.name) == sorted(set(sink.offsets(feed.spec.name)))
        assert sink.resets == []
        assert [state for _, state, _ in sink.states].count(Upstream.LIVE) == 4


async def test_deleted_stream(rabbitmq: Rabbit, feed: FeedSource) -> None:
    """Deleting the stream under a reader: a reset, a new stream, and on it goes."""
    async with consuming(rabbitmq.url, feed) as (broker, sink):
        await publish(broker, feed, 0, 1, 2)
        await until(lambda: len(sink.deliveries) == 3)
        await delete(rabbitmq.url, feed.queue)
        await until(lambda: sink.resets == [(feed.spec.name, "recreated")])
        await until(lambda: sink.is_live(feed.spec.name))
        await publish(broker, feed, 10, 11)
        await until(lambda: numbers(sink, feed) == [0, 1, 2, 10, 11])


async def test_recreated_while_away(rabbitmq: Rabbit, feed: FeedSource) -> None:
    """A stream made anew while we were cut off, with more and equal prices: a reset."""
    async with proxy_to(rabbitmq.url) as proxy:
        through = proxied(rabbitmq.url, proxy)
        other = AmqpBroker([feed], None, options(rabbitmq.url))
        async with consuming(through, feed) as (_, sink):
            await publish(other, feed, *range(5))
            await until(lambda: len(sink.deliveries) == 5)
            await proxy.cut(refuse=True)
            await delete(rabbitmq.url, feed.queue)
            async with consuming(rabbitmq.url, feed):
                await publish(other, feed, *range(8))
            proxy.resume()
            await until(lambda: sink.is_live(feed.spec.name))
            assert sink.resets == [(feed.spec.name, "recreated")]
            assert numbers(sink, feed)[-1] == 7
        await other.close()


async def test_truncated_while_away(rabbitmq: Rabbit) -> None:
    """Retention passed over the place that we had reached: a reset that says so."""
    feed = source(LOSSLESS, retention_bytes=100_000, segment_bytes=20_000)
    name = feed.spec.name
    filler = b"x" * 5_000
    async with proxy_to(rabbitmq.url) as proxy:
        through = proxied(rabbitmq.url, proxy)
        other = AmqpBroker([feed], None, options(rabbitmq.url))
        async with consuming(through, feed) as (_, sink):
            await publish(other, feed, 1)
            await until(lambda: sink.deliveries)
            await proxy.cut(refuse=True)
            for _ in range(300):
                await other.publish(name, Message(f"{name}.a", filler))
            proxy.resume()
            await until(lambda: sink.resets == [(name, "truncated")])
            await until(lambda: sink.is_live(name))
        await other.close()
    await delete(rabbitmq.url, feed.queue)


async def test_silent_consumer(rabbitmq: Rabbit, feed: FeedSource) -> None:
    """A consumer that the broker has forgotten without a word is found and restored."""
    async with consuming(rabbitmq.url, feed, quiet_s=0.5, probe_interval_s=0.2) as (broker, sink):
        await publish(broker, feed, 0)
        await until(lambda: numbers(sink, feed) == [0])
        lost = broker.feeds[0].consumer
        assert lost is not None
        await lost.channel.basic_cancel(lost.tag)
        await publish(broker, feed, 1, 2)
        await until(lambda: numbers(sink, feed) == [0, 1, 2])
        assert sink.resets == []
        assert any("receives nothing" in why for _, _, why in sink.states)


async def test_a_quiet_stream_is_left_alone(rabbitmq: Rabbit, feed: FeedSource) -> None:
    """Health checks of a quiet stream, empty or not, never disturb it."""
    async with consuming(rabbitmq.url, feed, quiet_s=0.2, probe_interval_s=0.1) as (broker, sink):
        checked = broker.feeds[0]
        assert isinstance(checked, LosslessFeed)
        first_check = checked.heard_at
        await until(lambda: checked.heard_at > first_check)
        await publish(broker, feed, 0)
        await until(lambda: numbers(sink, feed) == [0])
        second_check = checked.heard_at + 0.2
        await until(lambda: checked.heard_at > second_check)
        assert [state for _, state, _ in sink.states] == [Upstream.LIVE]


async def test_acks(rabbitmq: Rabbit) -> None:
    """More than the prefetch comes, and a quiet feed's tail is acked too: no credit leaks."""
    feed = source(LOSSLESS, prefetch=40)
    async with consuming(rabbitmq.url, feed) as (broker, sink):
        await publish(broker, feed, *range(103))
        await until(lambda: numbers(sink, feed) == list(range(103)))
        consumer = broker.feeds[0].consumer
        assert consumer is not None
        await until(lambda: consumer.acked == 103)
    await delete(rabbitmq.url, feed.queue)
