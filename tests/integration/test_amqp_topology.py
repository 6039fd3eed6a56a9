"""Exchange, bindings and queues that somebody takes away: noticed, mended, told."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aio_pika
import pytest

from loadtest.rig.waiting import until
from tests.support.amqp import delete, options
from tests.support.broker import CONFLATED, LOSSLESS, Recorder, running, source
from tickfan.broker.amqp import AmqpBroker
from tickfan.broker.base import Message, PublishError
from tickfan.core.feed import Upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aio_pika.abc import AbstractChannel

    from tests.conftest import Rabbit
    from tickfan.broker.base import FeedSource, Received
    from tickfan.core.spec import Delivery as Policy

NOTICED_S = 5.0


@asynccontextmanager
async def operator(url: str) -> AsyncIterator[AbstractChannel]:
    """Somebody with a channel and all permissions."""
    connection = await aio_pika.connect(url)
    async with connection, connection.channel() as channel:
        yield channel


async def remake(channel: AbstractChannel, feed: FeedSource) -> None:
    """Delete the exchange and declare it again, at once."""
    await channel.exchange_delete(feed.exchange)
    await channel.declare_exchange(feed.exchange, "topic", durable=True)


async def publish_until_routed(broker: AmqpBroker, feed: FeedSource, body: bytes) -> None:
    """Publish again until a queue is bound, as a publisher does who is told ``unroutable``."""
    async with asyncio.timeout(NOTICED_S):
        while True:
            try:
                await broker.publish(feed.spec.name, Message(f"{feed.spec.name}.a", body))
            except PublishError:
                await asyncio.sleep(0.05)
            else:
                return


@pytest.mark.parametrize("policy", [LOSSLESS, CONFLATED])
@pytest.mark.parametrize("warm", [None, "1m"], ids=["", "warm"])
async def test_an_exchange_that_is_made_again(
    rabbitmq: Rabbit, policy: Policy, warm: str | None
) -> None:
    """Deleted and declared again between two probes: each replica notices, binds, and tells."""
    name = f"f{uuid.uuid4().hex[:12]}"
    feed = source(policy, name, warm=warm, queue=f"q-{name}")
    sinks = [Recorder(), Recorder()]
    brokers = [AmqpBroker([feed], sink, options(rabbitmq.url)) for sink in sinks]
    async with running(brokers[0]), running(brokers[1]), operator(rabbitmq.url) as channel:
        for times in (1, 2):
            await until(lambda: all(sink.is_live(name) for sink in sinks))
            await remake(channel, feed)
            for sink in sinks:
                await until(lambda: staleness(sink) == times, seconds=NOTICED_S)  # noqa: B023
                if policy is CONFLATED:  # a queue that is not bound yet misses the value
                    await until(lambda: sink.is_live(name))  # noqa: B023
            body = b"after %d" % times
            await publish_until_routed(brokers[0], feed, body)
            await until(lambda: all(sink.bodies(name)[-1:] == [body] for sink in sinks))  # noqa: B023
        await until(lambda: all(sink.is_live(name) for sink in sinks))
    for sink, broker in zip(sinks, brokers, strict=True):
        assert sink.resets == ([(name, "unbound")] * 2 if policy is LOSSLESS else [])
        assert broker.feeds[0].watch.losses == 2
        assert ("has not come" in sink.why(name)) == (policy is CONFLATED and warm is not None)


def staleness(sink: Recorder) -> int:
    """How often a feed has become stale for that; a probe may come just between the two."""
    return sum("was deleted" in why for _, _, why in sink.states)


async def test_what_an_exchange_took_with_it_is_between_two_messages(rabbitmq: Rabbit) -> None:
    """The reset stands where they are missing: after the last before, before the first after."""
    feed = source(LOSSLESS)
    name = feed.spec.name
    told: list[bytes | str] = []

    class Sink(Recorder):
        def deliver(self, feed: str, message: Received, fingerprint: str | None = None) -> None:
            told.append(message.body)

        def reset(self, feed: str, reason: str) -> None:
            told.append(reason)

    sink = Sink()
    broker = AmqpBroker([feed], sink, options(rabbitmq.url))
    async with running(broker), operator(rabbitmq.url) as channel:
        await until(lambda: sink.is_live(name))
        for number in range(50):
            await broker.publish(name, Message(f"{name}.a", b"before %d" % number))
        await remake(channel, feed)
        await publish_until_routed(broker, feed, b"after")
        await until(lambda: told[-1:] == [b"after"] and sink.is_live(name))
    assert told == [*(b"before %d" % number for number in range(50)), "unbound", b"after"]


@pytest.mark.parametrize("policy", [LOSSLESS, CONFLATED])
async def test_an_exchange_that_is_deleted(rabbitmq: Rabbit, policy: Policy) -> None:
    """It is made again, and the feed is live, though nobody else does anything."""
    feed, sink = source(policy), Recorder()
    name = feed.spec.name
    broker = AmqpBroker([feed], sink, options(rabbitmq.url))
    async with running(broker), operator(rabbitmq.url) as channel:
        await until(lambda: sink.is_live(name))
        await channel.exchange_delete(feed.exchange)
        await until(lambda: sink.state(name) is Upstream.STALE, seconds=NOTICED_S)
        await until(lambda: sink.is_live(name))
        await publish_until_routed(broker, feed, b"1")
        await until(lambda: sink.bodies(name) == [b"1"])


@pytest.mark.parametrize("policy", [LOSSLESS, CONFLATED])
async def test_a_binding_that_is_removed_comes_back(rabbitmq: Rabbit, policy: Policy) -> None:
    """Of the stream, and of a conflated feed's own queue."""
    feed, sink = source(policy), Recorder()
    name = feed.spec.name
    broker = AmqpBroker([feed], sink, options(rabbitmq.url))
    async with running(broker):
        await until(lambda: sink.is_live(name))
        (queue,) = broker.feeds[0].bound_queues()
        consumer = broker.feeds[0].consumer
        assert consumer is not None
        # By the connection that owns the queue: nobody else may touch an exclusive one.
        await consumer.channel.queue_unbind(queue, feed.exchange, f"{name}.#")
        await publish_until_routed(broker, feed, b"1")
        await until(lambda: sink.bodies(name) == [b"1"])


async def test_an_exchange_that_we_may_not_make(rabbitmq: Rabbit) -> None:
    """With ``declare = false``: stale with the reason, until a message says that all is well."""
    feed, sink = source(LOSSLESS), Recorder()
    name = feed.spec.name
    async with operator(rabbitmq.url) as channel:

        async def make() -> aio_pika.abc.AbstractExchange:
            exchange = await channel.declare_exchange(feed.exchange, "topic", durable=True)
            queue = await channel.declare_queue(
                feed.queue, durable=True, arguments={"x-queue-type": "stream"}
            )
            await queue.bind(exchange, f"{name}.#")
            return exchange

        exchange = await make()
        async with running(AmqpBroker([feed], sink, options(rabbitmq.url, declare=False))):
            await until(lambda: sink.is_live(name))
            await exchange.publish(aio_pika.Message(b"1"), f"{name}.a")
            await channel.exchange_delete(feed.exchange)
            await until(lambda: "does not exist" in sink.why(name))
            exchange = await make()
            await until(lambda: "live with its next message" in sink.why(name))
            assert sink.state(name) is Upstream.STALE
            await exchange.publish(aio_pika.Message(b"2"), f"{name}.a")
            await until(lambda: sink.is_live(name))
            assert sink.bodies(name) == [b"1", b"2"]
            assert sink.resets == [(name, "unbound")]


async def test_an_exchange_of_others_that_is_made_again_at_once(rabbitmq: Rabbit) -> None:
    """With ``declare = ["witness"]``: it is noticed, though the exchange is there at each look."""
    feed, sink = source(LOSSLESS), Recorder()
    name = feed.spec.name
    async with operator(rabbitmq.url) as channel:
        exchange = await channel.declare_exchange(feed.exchange, "topic", durable=True)
        queue = await channel.declare_queue(
            feed.queue, durable=True, arguments={"x-queue-type": "stream"}
        )
        await queue.bind(exchange, f"{name}.#")
        broker = AmqpBroker([feed], sink, options(rabbitmq.url, declare=("witness",)))
        async with running(broker):
            await until(lambda: sink.is_live(name))
            await remake(channel, feed)
            await until(lambda: broker.feeds[0].watch.losses == 1, seconds=NOTICED_S)
            await until(lambda: "live with its next message" in sink.why(name))
            assert sink.state(name) is Upstream.STALE
            await queue.bind(exchange, f"{name}.#")
            await exchange.publish(aio_pika.Message(b"1"), f"{name}.a")
            await until(lambda: sink.is_live(name))
            assert sink.resets == [(name, "unbound")]
            assert sink.bodies(name) == [b"1"]


async def test_a_warm_stream_that_is_deleted(rabbitmq: Rabbit) -> None:
    """It is made and bound again, and fills: who starts later has values."""
    name = f"f{uuid.uuid4().hex[:12]}"
    feed = source(CONFLATED, name, warm="1m", queue=f"q-{name}")
    sink = Recorder()
    broker = AmqpBroker([feed], sink, options(rabbitmq.url))
    async with running(broker):
        await until(lambda: sink.is_live(name))
        await delete(rabbitmq.url, feed.queue)
        await until(lambda: sink.state(name) is Upstream.STALE, seconds=NOTICED_S)
        await until(lambda: sink.is_live(name))
        await broker.publish(name, Message(f"{name}.a", b"1"))
        late = Recorder()
        async with running(AmqpBroker([feed], late, options(rabbitmq.url))):
            await until(lambda: late.bodies(name) == [b"1"])
