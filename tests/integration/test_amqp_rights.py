"""What is done where RabbitMQ has it otherwise: other exchanges, fewer rights, few channels."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import aio_pika
import pytest
from structlog.testing import capture_logs

from loadtest.rig.waiting import until
from tests.support.amqp import options
from tests.support.broker import CONFLATED, LOSSLESS, Recorder, running, source
from tickfan.broker.amqp import AmqpBroker
from tickfan.broker.base import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from loadtest.rig.rabbitmq import RabbitNode
    from tests.conftest import Rabbit
    from tickfan.core.spec import Delivery as Policy

    Few = Callable[[int], RabbitNode]


@pytest.mark.parametrize("policy", [LOSSLESS, CONFLATED])
async def test_an_exchange_with_arguments_of_its_own(rabbitmq: Rabbit, policy: Policy) -> None:
    """An alternate exchange, not durable: it is a topic exchange, and is taken as it is."""
    feed, sink = source(policy), Recorder()
    name = feed.spec.name
    connection = await aio_pika.connect(rabbitmq.url)
    async with connection, connection.channel() as channel:
        await channel.declare_exchange(
            feed.exchange, "topic", durable=False, arguments={"alternate-exchange": "amq.fanout"}
        )
    broker = AmqpBroker([feed], sink, options(rabbitmq.url))
    async with running(broker):
        await until(lambda: sink.is_live(name))
        await broker.publish(name, Message(f"{name}.a", b"1"))
        await until(lambda: sink.bodies(name) == [b"1"])


async def test_each_part_may_be_made_or_not(rabbitmq: Rabbit) -> None:
    """Only the exchange: the stream must exist. Only streams: the exchange must."""
    feed, sink = source(LOSSLESS), Recorder()
    name = feed.spec.name
    async with running(AmqpBroker([feed], sink, options(rabbitmq.url, declare=("streams",)))):
        await until(lambda: f"exchange 'x-{name}' does not exist" in sink.why(name))
        # Made by another feed, for which the stream is missing.
        other, others = source(LOSSLESS, exchange=feed.exchange), Recorder()
        settings = options(rabbitmq.url, declare=("exchange",))
        async with running(AmqpBroker([other], others, settings)):
            await until(lambda: "' does not exist" in others.why(other.spec.name))
            assert other.queue in others.why(other.spec.name)
            await until(lambda: sink.is_live(name))


async def test_a_user_with_few_rights(mortal_rabbitmq: RabbitNode) -> None:
    """What exists is used as it is, what cannot be made is named, and the rest goes on."""
    node = mortal_rabbitmq
    mine = uuid.uuid4().hex[:8]
    exchange = f"x-{mine}"
    lossless = source(LOSSLESS, f"l{mine}", exchange=exchange)
    missing = source(LOSSLESS, f"m{mine}", exchange=exchange)
    conflated = source(CONFLATED, f"c{mine}", exchange=exchange)
    first = Recorder()
    async with running(AmqpBroker([lossless], first, options(node.url))):
        await until(lambda: first.is_live(lossless.spec.name))
    for command in (
        ("add_user", "reader", "secret"),
        # No configure at all, no write: it can neither declare nor bind.
        ("set_permissions", "reader", "^$", "^$", ".*"),
    ):
        await asyncio.to_thread(node.control, *command)
    sink = Recorder()
    url = node.url.replace("guest:guest", "reader:secret")
    feeds = [lossless, missing, conflated]
    publisher = AmqpBroker([lossless], None, options(node.url))
    with capture_logs() as logs:
        async with running(AmqpBroker(feeds, sink, options(url, probe_interval_s=0.2))):
            await until(lambda: sink.is_live(lossless.spec.name))
            await until(lambda: "does not exist" in sink.why(missing.spec.name))
            assert "or grant the broker's user" in sink.why(missing.spec.name)
            await until(lambda: "ACCESS_REFUSED" in sink.why(conflated.spec.name))
            assert "Grant the permission" in sink.why(conflated.spec.name)
            await publisher.publish(lossless.spec.name, Message(f"{lossless.spec.name}.a", b"1"))
            await until(lambda: sink.bodies(lossless.spec.name) == [b"1"])
    await publisher.close()
    said = [line["event"] for line in logs if line.get("stream") == lossless.queue]
    assert said == ["the stream cannot be bound by this user: it must be bound already"]


@pytest.fixture
def few(mortal_rabbitmq: RabbitNode) -> Iterator[Few]:
    """Lets a node give so few channels to each connection that is opened from now on."""

    def give(channels: int) -> RabbitNode:
        mortal_rabbitmq.control("eval", f"application:set_env(rabbit, channel_max, {channels}).")
        return mortal_rabbitmq

    yield give
    give(2047)  # as it comes


@pytest.mark.parametrize(("channels", "is_enough"), [(8, True), (1, False)])
async def test_few_channels(few: Few, channels: int, is_enough: bool) -> None:
    """Eight for each connection are enough; that there are too few is named."""
    node = await asyncio.to_thread(few, channels)
    mine = uuid.uuid4().hex[:8]
    feeds = [
        source(LOSSLESS, f"l{mine}"),
        source(CONFLATED, f"c{mine}", warm="1m", queue=f"q-c{mine}"),
    ]
    sink = Recorder()
    settings = options(node.url, probe_interval_s=0.2, quiet_s=0.2)
    broker = AmqpBroker(feeds, sink, settings)
    async with running(broker):
        for feed in feeds:
            name = feed.spec.name
            if not is_enough:
                await until(lambda: "channel_max (1)" in sink.why(name))  # noqa: B023
                continue
            await until(lambda: sink.is_live(name))  # noqa: B023
            await broker.publish(name, Message(f"{name}.a", b"1"))
            await until(lambda: sink.bodies(name) == [b"1"])  # noqa: B023
    if is_enough:
        assert not [why for _, _, why in sink.states if "channel" in why]
