"""Messages in a stream that RabbitMQ cannot deliver: stepped over, told, and no other notices."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, NamedTuple

import pytest

from loadtest.rig.rabbitmq import RabbitNode, free_port
from loadtest.rig.waiting import until
from tests.conftest import require_rabbitmq
from tests.support.amqp import delete, options
from tests.support.broker import CONFLATED, LOSSLESS, Recorder, running, source
from tests.support.streamwriter import write_raw
from tickfan.broker.amqp import AmqpBroker
from tickfan.broker.base import Message
from tickfan.core.feed import Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tickfan.broker.base import FeedSource

RAW = b"no AMQP message"


class Node(NamedTuple):
    """A RabbitMQ that speaks the stream protocol, too."""

    url: str
    stream_port: int


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One for all tests here."""
    require_rabbitmq()
    port = free_port()
    rabbit = RabbitNode(
        tmp_path_factory.mktemp("streams"),
        config=f"stream.listeners.tcp.1 = 127.0.0.1:{port}\n",
        plugins=["rabbitmq_stream"],
    )
    try:
        rabbit.start()
        yield Node(rabbit.url, port)
    finally:
        rabbit.close()


async def publish(broker: AmqpBroker, feed: FeedSource, *bodies: bytes) -> None:
    """Publish one after the other."""
    for body in bodies:
        await broker.publish(feed.spec.name, Message(f"{feed.spec.name}.a", body))


@pytest.mark.parametrize("count", [1, 30])
async def test_it_is_stepped_over_and_no_other_feed_notices(node: Node, count: int) -> None:
    """What came before is there, what comes after too; between them stands a reset."""
    feed, neighbours = source(LOSSLESS), [source(LOSSLESS), source(CONFLATED)]
    name = feed.spec.name
    sink = Recorder()
    broker = AmqpBroker([feed, *neighbours], sink, options(node.url))
    async with running(broker):
        await until(lambda: all(sink.is_live(each.spec.name) for each in [feed, *neighbours]))
        await publish(broker, feed, b"1", b"2")
        await until(lambda: sink.bodies(name) == [b"1", b"2"])
        await write_raw(node.stream_port, feed.queue, *[RAW] * count)
        await until(lambda: "cannot deliver" in sink.why(name))
        assert feed.queue in sink.why(name)
        await publish(broker, feed, b"3")
        await until(lambda: sink.resets == [(name, "undeliverable")])
        await until(lambda: sink.is_live(name))
        await publish(broker, feed, b"4")
        await until(lambda: sink.bodies(name)[-1] == b"4")
        # It goes on at its usual pace, with a look at the tail, and nothing is lost again.
        await publish_until(broker, feed, lambda: not is_near(broker))
        await publish(broker, feed, b"5")
        await until(lambda: sink.bodies(name)[-1] == b"5" and sink.is_live(name))
    assert sink.bodies(name)[:2] == [b"1", b"2"]
    if count == 1:
        assert [body for body in sink.bodies(name) if body != b"tick"] == [
            b"%d" % number for number in range(1, 6)
        ]
    assert sink.resets == [(name, "undeliverable")]
    for each in neighbours:
        own = each.spec.name
        assert [state for feed, state, _ in sink.states if feed == own] == [Upstream.LIVE]


def is_near(broker: AmqpBroker) -> bool:
    """Whether the first feed still expects such a message."""
    return broker.feeds[0].obstacle.is_near  # type: ignore[attr-defined,no-any-return]


async def publish_until(
    broker: AmqpBroker, feed: FeedSource, condition: Callable[[], bool]
) -> None:
    """A slow publisher."""
    async with asyncio.timeout(30):
        while not condition():
            await publish(broker, feed, b"tick")
            await asyncio.sleep(0.2)  # its rhythm


async def test_nothing_follows_it(node: Node) -> None:
    """It is the newest: the feed is live after it, and gets what is published next."""
    feed, sink = source(LOSSLESS), Recorder()
    name = feed.spec.name
    broker = AmqpBroker([feed], sink, options(node.url, quiet_s=0.5))
    async with running(broker):
        await until(lambda: sink.is_live(name))
        await publish(broker, feed, b"1")
        await until(lambda: sink.bodies(name) == [b"1"])
        await write_raw(node.stream_port, feed.queue, RAW)
        await until(lambda: sink.resets == [(name, "undeliverable")])
        await until(lambda: sink.is_live(name))
        await publish(broker, feed, b"2")
        await until(lambda: sink.bodies(name) == [b"1", b"2"])
    assert sink.resets == [(name, "undeliverable")]


async def test_the_stream_is_deleted_to_be_rid_of_it(node: Node) -> None:
    """The new stream is read from its beginning, though its offsets are the smaller ones."""
    feed, sink = source(LOSSLESS), Recorder()
    name = feed.spec.name
    broker = AmqpBroker([feed], sink, options(node.url))
    async with running(broker):
        await until(lambda: sink.is_live(name))
        await publish(broker, feed, *[b"%d" % number for number in range(10)])
        await until(lambda: len(sink.bodies(name)) == 10)
        await write_raw(node.stream_port, feed.queue, RAW)
        await until(lambda: sink.resets == [(name, "undeliverable")] and sink.is_live(name))
        await delete(node.url, feed.queue)
        await until(lambda: not sink.is_live(name))
        await until(lambda: sink.is_live(name))
        await publish(broker, feed, b"first")
        await until(lambda: sink.bodies(name)[-1] == b"first" and sink.is_live(name))
        await publish(broker, feed, b"second")
        await until(lambda: sink.bodies(name)[-2:] == [b"first", b"second"])
    assert sink.resets[-1] == (name, "recreated")


@pytest.mark.parametrize("warm", [None, "1m"])
async def test_it_is_there_at_the_start(node: Node, warm: str | None) -> None:
    """A replica that starts becomes live, and gets what follows."""
    feed = source(LOSSLESS, warm=warm)
    name = feed.spec.name
    publisher = AmqpBroker([feed], None, options(node.url))
    await publish(publisher, feed, b"1")
    await write_raw(node.stream_port, feed.queue, RAW)
    sink = Recorder()
    broker = AmqpBroker([feed], sink, options(node.url))
    async with running(broker):
        await until(lambda: sink.is_live(name))
        await publish(broker, feed, b"2")
        await until(lambda: sink.bodies(name)[-1:] == [b"2"])
    assert sink.bodies(name) == ([b"2"] if warm is None else [b"1", b"2"])
    await publisher.close()


async def test_in_a_warm_stream(node: Node) -> None:
    """A conflated feed goes live without its past, says so, and stays live."""
    name = f"f{uuid.uuid4().hex[:12]}"
    feed = source(CONFLATED, name, warm="1m", queue=f"q-{name}")
    publisher = AmqpBroker([feed], None, options(node.url))
    await publish(publisher, feed, b"1")
    await write_raw(node.stream_port, feed.queue, RAW)
    sink = Recorder()
    broker = AmqpBroker([feed], sink, options(node.url))
    async with running(broker):
        await until(lambda: sink.is_live(name))
        assert "cannot deliver" in sink.why(name)
        await publish(broker, feed, b"2")
        await until(lambda: sink.bodies(name)[-1:] == [b"2"])
    await publisher.close()
