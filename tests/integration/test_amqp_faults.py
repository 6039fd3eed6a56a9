"""What the AMQP broker does when RabbitMQ is away, dead, different or strict."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aio_pika
import pytest

from loadtest.rig.rabbitmq import RabbitNode, free_port
from loadtest.rig.waiting import until
from tests.support.amqp import delete, options, proxied, proxy_to
from tests.support.broker import CONFLATED, LOSSLESS, Recorder, running, source
from tickfan.broker.amqp import AmqpBroker
from tickfan.broker.base import BrokerDown, Message, Unconfirmed
from tickfan.core.feed import Upstream

if TYPE_CHECKING:
    from tests.conftest import Rabbit
    from tickfan.core.spec import Delivery as Policy


async def test_half_open(rabbitmq: Rabbit) -> None:
    """A peer that falls silent behind a living socket is found out, within seconds."""
    feeds = [source(LOSSLESS), source(CONFLATED)]
    sink = Recorder()
    loop = asyncio.get_running_loop()
    async with proxy_to(rabbitmq.url) as proxy:
        broker = AmqpBroker(feeds, sink, options(proxied(rabbitmq.url, proxy)))
        publisher = AmqpBroker(feeds, None, options(rabbitmq.url))
        async with running(broker):
            await until(lambda: all(sink.is_live(feed.spec.name) for feed in feeds))
            began = loop.time()
            proxy.half_open()
            await until(lambda: all(sink.state(feed.spec.name) is Upstream.STALE for feed in feeds))
            assert loop.time() - began < 5.5
            assert "no answer within 3 s" in sink.why(feeds[0].spec.name)
            name = feeds[0].spec.name
            await publisher.publish(name, Message(f"{name}.a", b"meanwhile"))
            proxy.resume()
            await until(lambda: all(sink.is_live(feed.spec.name) for feed in feeds))
            await until(lambda: sink.bodies(name) == [b"meanwhile"])
        await publisher.close()


async def test_stopping_while_the_peer_is_dead(rabbitmq: Rabbit) -> None:
    """A stop does not wait for a peer that says nothing, and leaves no task behind."""
    feeds = [source(LOSSLESS), source(CONFLATED)]
    sink = Recorder()
    loop = asyncio.get_running_loop()
    async with proxy_to(rabbitmq.url) as proxy:
        before = asyncio.all_tasks()
        broker = AmqpBroker(feeds, sink, options(proxied(rabbitmq.url, proxy)))
        async with running(broker):
            await until(lambda: all(sink.is_live(feed.spec.name) for feed in feeds))
            proxy.half_open()
            began = loop.time()
        assert loop.time() - began < 5
        await until(lambda: not own_tasks(before))


def own_tasks(before: set[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
    """The tasks that have been made since, without the proxy's."""
    return [
        task
        for task in asyncio.all_tasks() - before
        if "FaultProxy" not in getattr(task.get_coro(), "__qualname__", "")
    ]


async def test_a_slow_link_is_not_a_dead_one(rabbitmq: Rabbit) -> None:
    """Answers that take half of the probe's time-out do no harm."""
    feed, sink = source(CONFLATED), Recorder()
    async with proxy_to(rabbitmq.url) as proxy:
        proxy.delay_s = 0.15
        broker = AmqpBroker(
            [feed],
            sink,
            options(proxied(rabbitmq.url, proxy), probe_timeout_s=1, probe_interval_s=0.05),
        )
        async with running(broker):
            await until(lambda: sink.is_live(feed.spec.name))
            answered = proxy.pieces
            await until(lambda: proxy.pieces > answered + 10)
            assert sink.states == [(feed.spec.name, Upstream.LIVE, "")]


async def test_a_large_message_on_a_slow_link(rabbitmq: Rabbit) -> None:
    """It may take longer than any wait of ours: as long as its bytes flow, nothing is given up."""
    feed, sink = source(LOSSLESS), Recorder()
    name, large = feed.spec.name, bytes(1_500_000)
    publisher = AmqpBroker([feed], None, options(rabbitmq.url))
    async with proxy_to(rabbitmq.url) as proxy:
        settings = options(proxied(rabbitmq.url, proxy), probe_timeout_s=0.5, quiet_s=0.5)
        async with running(AmqpBroker([feed], sink, settings)):
            await until(lambda: sink.is_live(name))
            proxy.bytes_per_s = 500_000
            await publisher.publish(name, Message(f"{name}.a", large))
            await until(lambda: sink.bodies(name) == [large])
            assert sink.states == [(name, Upstream.LIVE, "")]
            # It is the stream's tail now, and what a resume has to begin with.
            await proxy.cut()
            await until(lambda: not sink.is_live(name))
            await until(lambda: sink.is_live(name))
            await publisher.publish(name, Message(f"{name}.a", b"small"))
            await until(lambda: sink.bodies(name) == [large, b"small"])
            assert sink.resets == []
    await publisher.close()


async def test_lost_classic_consumer(rabbitmq: Rabbit) -> None:
    """A conflated feed whose consumer the broker has forgotten is restored."""
    feed, sink = source(CONFLATED), Recorder()
    name = feed.spec.name
    broker = AmqpBroker([feed], sink, options(rabbitmq.url, probe_interval_s=0.2))
    async with running(broker):
        await until(lambda: sink.is_live(name))
        lost = broker.feeds[0].consumer
        assert lost is not None
        await lost.channel.basic_cancel(lost.tag)
        await until(lambda: sink.state(name) is Upstream.STALE)
        await until(lambda: sink.is_live(name))
        await broker.publish(name, Message(f"{name}.a", b"1"))
        await until(lambda: sink.bodies(name) == [b"1"])


async def test_restarts(own_rabbitmq: RabbitNode) -> None:
    """Absent at start, started, frozen, killed, started again: told of each, nothing lost."""
    feed, sink = source(LOSSLESS), Recorder()
    name = feed.spec.name
    node = own_rabbitmq
    broker = AmqpBroker([feed], sink, options(node.url, publish_timeout_s=1))

    async def publish(number: int) -> None:
        await broker.publish(name, Message(f"{name}.a", str(number).encode()))

    async with running(broker):
        await until(lambda: sink.state(name) is Upstream.STARTING)
        assert f"127.0.0.1:{node.port}" in sink.why(name)
        with pytest.raises(BrokerDown, match="no connection to the broker"):
            await publish(0)
        node.launch()
        await until(lambda: sink.is_live(name), seconds=60)
        await publish(0)
        node.pause()
        with pytest.raises(Unconfirmed, match="no confirm within"):
            await publish(1)
        await until(lambda: sink.state(name) is Upstream.STALE)
        node.resume()
        await until(lambda: sink.is_live(name))
        await publish(2)
        await until(lambda: sink.bodies(name)[-1] == b"2")
        node.kill()
        await until(lambda: sink.state(name) is Upstream.STALE)
        node.launch()
        await until(lambda: sink.is_live(name), seconds=60)
        await publish(3)
        await until(lambda: sink.bodies(name)[-1] == b"3")
    # What was never confirmed may have been published or not.
    assert [body for body in sink.bodies(name) if body != b"1"] == [b"0", b"2", b"3"]
    assert sink.resets == []


async def test_hosts_in_turn(rabbitmq: Rabbit) -> None:
    """A dead host before a living one costs nothing but a try."""
    feed, sink = source(CONFLATED), Recorder()
    dead = f"amqp://guest:secret@127.0.0.1:{free_port()}/"
    broker = AmqpBroker([feed], sink, options(dead, rabbitmq.url))
    async with running(broker):
        await until(lambda: sink.is_live(feed.spec.name))
        await broker.publish(feed.spec.name, Message(f"{feed.spec.name}.a", b"1"))
        await until(lambda: sink.deliveries)
    assert sink.states == [(feed.spec.name, Upstream.LIVE, "")]


async def test_all_hosts_dead() -> None:
    """What each host said is reported, once, without a password."""
    feed, sink = source(CONFLATED), Recorder()
    ports = [free_port(), free_port()]
    urls = [f"amqp://guest:secret@127.0.0.1:{port}/" for port in ports]
    async with running(AmqpBroker([feed], sink, options(*urls))):
        await until(lambda: sink.states)
    why = sink.why(feed.spec.name)
    assert all(f"127.0.0.1:{port}" in why for port in ports)
    assert "secret" not in why


async def test_mismatch_is_named_and_may_be_mended(rabbitmq: Rabbit) -> None:
    """A stream with other arguments: what exists, which setting, what to do; then it works."""
    feed, sink = source(LOSSLESS), Recorder()
    name = feed.spec.name
    async with running(AmqpBroker([feed], sink, options(rabbitmq.url))):
        await until(lambda: sink.is_live(name))
    other, sink = replace(feed, retention_age="2h"), Recorder()
    neighbour = source(CONFLATED)
    async with running(AmqpBroker([other, neighbour], sink, options(rabbitmq.url))):
        await until(lambda: sink.is_live(neighbour.spec.name))
        await until(lambda: sink.why(name))
        why = sink.why(name)
        for word in (name, feed.queue, "x-max-age '1h'", "say '2h'", "retention_age", "delete"):
            assert word in why
        await delete(rabbitmq.url, queue=feed.queue)
        await until(lambda: sink.is_live(name))
        assert [state for feed, state, _ in sink.states if feed == name] == ["starting", "live"]


async def test_not_a_stream(rabbitmq: Rabbit) -> None:
    """A classic queue in the stream's place is named; not one of its messages is taken."""
    feed, sink = source(LOSSLESS), Recorder()
    name = feed.spec.name
    connection = await aio_pika.connect(rabbitmq.url)
    async with connection, connection.channel() as channel:
        exchange = await channel.declare_exchange(feed.exchange, "topic", durable=True)
        queue = await channel.declare_queue(feed.queue, durable=True)
        await queue.bind(exchange, f"{name}.#")
        await exchange.publish(aio_pika.Message(b"precious"), f"{name}.a")
        for declare, word in ((True, "may be no stream"), (False, "is not a stream")):
            sink = Recorder()
            broker = AmqpBroker([feed], sink, options(rabbitmq.url, declare=declare))
            async with running(broker):
                await until(lambda sink=sink, word=word: word in sink.why(name))  # type: ignore[misc]
            assert sink.deliveries == []
        message = await queue.get(timeout=5)
        assert message is not None
        await message.ack()
        await queue.delete()


async def test_exchange_of_another_type(rabbitmq: Rabbit) -> None:
    """An exchange that is not a topic exchange is named."""
    feed, sink = source(CONFLATED), Recorder()
    connection = await aio_pika.connect(rabbitmq.url)
    async with connection, connection.channel() as channel:
        await channel.declare_exchange(feed.exchange, "fanout", durable=True)
        async with running(AmqpBroker([feed], sink, options(rabbitmq.url))):
            await until(lambda: "not as a durable topic exchange" in sink.why(feed.spec.name))
    assert feed.exchange in sink.why(feed.spec.name)


@pytest.mark.parametrize("policy", [CONFLATED, LOSSLESS])
async def test_declare_false(rabbitmq: Rabbit, policy: Policy) -> None:
    """Nothing is made but a conflated feed's own queue; what lacks is named, then found."""
    feed, sink = source(policy), Recorder()
    name = feed.spec.name
    async with running(AmqpBroker([feed], sink, options(rabbitmq.url, declare=False))) as task:
        del task
        await until(lambda: f"exchange 'x-{name}' does not exist" in sink.why(name))
        assert "broker.declare = true" in sink.why(name)
        connection = await aio_pika.connect(rabbitmq.url)
        async with connection, connection.channel() as channel:
            exchange = await channel.declare_exchange(feed.exchange, "topic", durable=True)
            if policy is LOSSLESS:
                await until(lambda: f"queue '{feed.queue}' does not exist" in sink.why(name))
                queue = await channel.declare_queue(
                    feed.queue, durable=True, arguments={"x-queue-type": "stream"}
                )
                await queue.bind(exchange, f"{name}.#")
            await until(lambda: sink.is_live(name))
            await exchange.publish(aio_pika.Message(b"1"), f"{name}.a")
            await until(lambda: sink.bodies(name) == [b"1"])


async def test_bounded_queue(rabbitmq: Rabbit) -> None:
    """A conflated feed's queue holds at most its length while nobody takes from it."""
    feed, sink = source(CONFLATED, length_max=10, prefetch=5), Recorder()
    name = feed.spec.name
    async with proxy_to(rabbitmq.url) as proxy:
        broker = AmqpBroker([feed], sink, options(proxied(rabbitmq.url, proxy)))
        publisher = AmqpBroker([feed], None, options(rabbitmq.url))
        async with running(broker):
            await until(lambda: sink.is_live(name))
            proxy.half_open()
            for number in range(100):
                await publisher.publish(name, Message(f"{name}.a", str(number).encode()))
            proxy.resume()
            await until(lambda: sink.bodies(name)[-1:] == [b"99"])
            assert len(sink.deliveries) <= 20
        await publisher.close()
