"""Publishing over AMQP: in order, from the first message on, and through cuts."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import aio_pika
import pytest
from structlog.testing import capture_logs

from loadtest.rig.waiting import DEADLINE_S, until
from tests.support.amqp import delete, options, proxied, proxy_to
from tests.support.broker import CONFLATED, LOSSLESS, Recorder, running, source
from tickfan.broker.amqp import AmqpBroker
from tickfan.broker.amqp.publisher import Publisher
from tickfan.broker.base import BrokerBlocked, BrokerDown, Message, Unroutable
from tickfan.market.simulated import APP_ID

if TYPE_CHECKING:
    from loadtest.rig.rabbitmq import RabbitNode
    from tests.conftest import Rabbit


async def test_publisher_before_the_first_replica(rabbitmq: Rabbit) -> None:
    """A publisher alone makes the streams, so that what it publishes waits for the replicas."""
    lossless = source(LOSSLESS, warm="1h")
    quotes = source(CONFLATED, warm="1h", queue=f"{lossless.queue}.warm")
    feeds = [lossless, quotes]
    publisher = AmqpBroker(feeds, None, options(rabbitmq.url))
    for feed in feeds:
        for body in (b"1", b"2"):
            await publisher.publish(feed.spec.name, Message(f"{feed.spec.name}.a", body))
    await publisher.close()
    sink = Recorder()
    async with running(AmqpBroker(feeds, sink, options(rabbitmq.url))):
        await until(lambda: all(sink.is_live(feed.spec.name) for feed in feeds))
        assert [sink.bodies(feed.spec.name) for feed in feeds] == [[b"1", b"2"]] * 2
    for feed in feeds:
        await delete(rabbitmq.url, queue=feed.queue)


async def test_publisher_meets_a_mismatch(rabbitmq: Rabbit) -> None:
    """A stream with other arguments stops a publisher alone, by name; one beside replicas not."""
    feed = source(LOSSLESS)
    other = replace(feed, retention_age="2h")
    message = Message(f"{feed.spec.name}.a", b"1")
    first = AmqpBroker([feed], None, options(rabbitmq.url))
    await first.publish(feed.spec.name, message)
    await first.close()
    alone = AmqpBroker([other], None, options(rabbitmq.url))
    with pytest.raises(BrokerDown, match="retention_age"):
        await alone.publish(feed.spec.name, message)
    await alone.close()
    for broker in (
        AmqpBroker([other], None, options(rabbitmq.url, declare=False)),
        AmqpBroker([other], Recorder(), options(rabbitmq.url)),
    ):
        await broker.publish(feed.spec.name, message)
        await broker.close()
    await delete(rabbitmq.url, queue=feed.queue)


@pytest.mark.parametrize("cut", [False, True])
async def test_publishing_order(rabbitmq: Rabbit, cut: bool) -> None:
    """Calls made before, while and after the connection is opened leave in their order."""
    feed, sink = source(LOSSLESS), Recorder()
    name = feed.spec.name
    async with (
        proxy_to(rabbitmq.url) as proxy,
        running(AmqpBroker([feed], sink, options(rabbitmq.url))),
    ):
        await until(lambda: sink.is_live(name))
        publisher = Publisher({name: feed}, options(proxied(rabbitmq.url, proxy)), is_alone=True)
        if cut:
            await publisher.publish(name, Message(f"{name}.a", b"0"))
            assert publisher.is_open
            await proxy.cut()
            await until(lambda: not publisher.is_open)
        calls = itertools.count(1)
        async with asyncio.TaskGroup() as group:

            def call() -> None:
                body = str(next(calls)).encode()
                group.create_task(publisher.publish(name, Message(f"{name}.a", body)))

            # Some in each turn of the loop, for as long as the opening takes.
            while not sink.deliveries[cut:]:
                call()
                call()
                await asyncio.sleep(0)
        count = next(calls) - 1
        await until(lambda: len(sink.deliveries) == count + cut)
        assert [int(body) for body in sink.bodies(name)][cut:] == list(range(1, count + 1))
        await publisher.close()


async def test_publisher_without_a_queue(rabbitmq: Rabbit) -> None:
    """A publisher alone makes the exchange, and says that nobody is bound to it."""
    feed = source(CONFLATED)
    publisher = AmqpBroker([feed], None, options(rabbitmq.url))
    with pytest.raises(Unroutable, match="is a replica with this feed running"):
        await publisher.publish(feed.spec.name, Message(f"{feed.spec.name}.a", b"1"))
    await publisher.close()
    await publisher.close()


async def test_who_made_a_message_is_seen_in_rabbitmq(rabbitmq: Rabbit) -> None:
    """The app_id of invented prices arrives with them; other messages have none."""
    feed = source(LOSSLESS)
    publisher = AmqpBroker([feed], None, options(rabbitmq.url))
    connection = await aio_pika.connect(rabbitmq.url)
    async with connection, connection.channel() as channel:
        await publisher.publish(feed.spec.name, Message(f"{feed.spec.name}.a", b"1"))
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(feed.exchange, "#")
        for app_id in (APP_ID, None):
            await publisher.publish(
                feed.spec.name, Message(f"{feed.spec.name}.a", b"2", app_id=app_id)
            )
            message = await queue.get(timeout=DEADLINE_S)
            assert message is not None
            assert message.app_id == app_id
    await publisher.close()
    await delete(rabbitmq.url, queue=feed.queue)


async def test_publisher_without_a_binding_that_nobody_here_may_make(rabbitmq: Rabbit) -> None:
    """No replica would help: the one who has left streams out is to bind it."""
    feed = source(LOSSLESS)
    publisher = AmqpBroker([feed], None, options(rabbitmq.url, declare=("exchange",)))
    with pytest.raises(Unroutable, match=f"bind stream '{feed.queue}' to it"):
        await publisher.publish(feed.spec.name, Message(f"{feed.spec.name}.a", b"1"))
    await publisher.close()


async def test_publisher_after_a_cut(rabbitmq: Rabbit) -> None:
    """A publisher's connection that was cut is opened again by the next message."""
    feed, sink = source(LOSSLESS), Recorder()
    name = feed.spec.name
    async with (
        proxy_to(rabbitmq.url) as proxy,
        running(AmqpBroker([feed], sink, options(rabbitmq.url))),
    ):
        await until(lambda: sink.is_live(name))
        publisher = Publisher({name: feed}, options(proxied(rabbitmq.url, proxy)), is_alone=True)
        await publisher.publish(name, Message(f"{name}.a", b"1"))
        assert publisher.is_open
        await proxy.cut()
        await until(lambda: not publisher.is_open)
        await publisher.publish(name, Message(f"{name}.a", b"2"))
        await until(lambda: sink.bodies(name) == [b"1", b"2"])
        await publisher.close()


async def test_an_alarm_of_rabbitmq_is_named(mortal_rabbitmq: RabbitNode) -> None:
    """While it blocks publishers each is told so, at once from the second on; then all is well."""
    node = mortal_rabbitmq
    feed, sink = source(LOSSLESS), Recorder()
    name = feed.spec.name
    broker = AmqpBroker([feed], sink, options(node.url, publish_timeout_s=1))

    async def publish(body: bytes) -> None:
        await broker.publish(name, Message(f"{name}.a", body))

    async def publish_until_refused() -> None:
        for _ in itertools.count():  # the alarm may take a moment
            await publish(b"under way")

    async with running(broker):
        await until(lambda: sink.is_live(name))
        await publish(b"before")
        assert not broker.health().is_blocked
        with capture_logs() as logs:
            await asyncio.to_thread(node.control, "set_vm_memory_high_watermark", "0.00000001")
            with pytest.raises(BrokerBlocked, match=r"low on memory.*may still be published"):
                await publish_until_refused()
            assert broker.health().is_blocked
            for _ in range(100):  # none of them waits
                with pytest.raises(BrokerBlocked, match="takes no messages now: low on memory"):
                    await publish(b"refused")
            await asyncio.to_thread(node.control, "set_vm_memory_high_watermark", "0.4")
            await until(lambda: not broker.health().is_blocked)
        await publish(b"after")
        await until(lambda: sink.bodies(name)[-1] == b"after")
    assert b"refused" not in sink.bodies(name)
    said = [line["event"] for line in logs if "messages" in line["event"]]
    assert said == ["RabbitMQ takes no messages", "RabbitMQ takes messages again"]
