"""One contract, two brokers: the embedded one and a real RabbitMQ."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from loadtest.rig.waiting import until
from tests.support import amqp
from tests.support.broker import CONFLATED, LOSSLESS, Failing, Recorder, running, source
from tickfan.broker.amqp import AmqpBroker
from tickfan.broker.base import (
    JSON,
    MSGPACK,
    Broker,
    BrokerDown,
    FeedSource,
    Message,
    PublishError,
    Unroutable,
)
from tickfan.broker.memory import MemoryBroker
from tickfan.core.errors import TickfanError
from tickfan.core.feed import Upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import Rabbit
    from tickfan.core.spec import Delivery as Policy


class Stage:
    """Makes brokers of one kind, runs them, and knows through which to publish."""

    def __init__(self, stack: AsyncExitStack, url: str | None) -> None:
        self._stack = stack
        self._url = url

    def broker(self, sources: list[FeedSource], sink: Recorder | None) -> Broker:
        """A broker that is not running."""
        if self._url is None:
            return MemoryBroker(sources, sink)
        return AmqpBroker(sources, sink, amqp.options(self._url))

    async def start(
        self, *sources: FeedSource, sink: Recorder | None = None
    ) -> tuple[Broker, Recorder]:
        """A publisher, and what a running broker's sink gets from it."""
        sink = sink or Recorder()
        consumer = self.broker(list(sources), sink)
        await self._stack.enter_async_context(running(consumer))
        await until(lambda: all(sink.is_live(source.spec.name) for source in sources))
        if self._url is None:
            return consumer, sink
        publisher = self.broker(list(sources), None)
        self._stack.push_async_callback(publisher.close)
        return publisher, sink


@pytest.fixture(params=["memory", "amqp"])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """Both kinds of broker, one after the other."""
    url = None
    if request.param == "amqp":
        rabbit: Rabbit = request.getfixturevalue("rabbitmq")
        url = rabbit.url
    async with AsyncExitStack() as stack:
        yield Stage(stack, url)


@pytest.mark.parametrize("policy", [CONFLATED, LOSSLESS])
async def test_order(stage: Stage, policy: Policy) -> None:
    """What one publisher sends comes in its order, complete."""
    feed = source(policy, prefetch=50)
    publisher, sink = await stage.start(feed)
    name = feed.spec.name
    bodies = [str(number).encode() for number in range(500)]
    async with asyncio.TaskGroup() as group:
        for body in bodies:
            group.create_task(publisher.publish(name, Message(f"{name}.a", body)))
    await until(lambda: len(sink.deliveries) >= len(bodies))
    assert sink.bodies(name) == bodies
    assert sink.resets == []


@pytest.mark.parametrize("policy", [CONFLATED, LOSSLESS])
async def test_fields_come_through(stage: Stage, policy: Policy) -> None:
    """Routing key, content type, type, time and batch flag arrive as they were sent."""
    feed = source(policy)
    publisher, sink = await stage.start(feed)
    name = feed.spec.name
    await publisher.publish(
        name,
        Message(f"{name}.EUR/USD", b"\x80", MSGPACK, "snapshot", 1_700_000_000_123, batch=True),
    )
    await publisher.publish(name, Message(f"{name}.plain", b""))
    await until(lambda: len(sink.deliveries) == 2)
    full, plain = sink.deliveries
    assert full[:7] == (
        name, f"{name}.EUR/USD", b"\x80", MSGPACK, "snapshot", 1_700_000_000_123, True,
    )  # fmt: skip
    assert plain[:7] == (name, f"{name}.plain", b"", JSON, None, None, False)


async def test_offsets_and_fingerprints(stage: Stage) -> None:
    """A lossless feed's messages have rising offsets and differ in their fingerprints."""
    feed = source(LOSSLESS)
    publisher, sink = await stage.start(feed)
    name = feed.spec.name
    for _ in range(20):
        await publisher.publish(name, Message(f"{name}.a", b"the same"))
    await until(lambda: len(sink.deliveries) == 20)
    offsets = sink.offsets(name)
    assert offsets == sorted(set(offsets))
    assert len({delivery.fingerprint for delivery in sink.deliveries}) == 20


async def test_conflated_has_no_offset(stage: Stage) -> None:
    """A conflated feed's deliveries carry neither offset nor fingerprint."""
    feed = source(CONFLATED)
    publisher, sink = await stage.start(feed)
    await publisher.publish(feed.spec.name, Message(f"{feed.spec.name}.a", b"1"))
    await until(lambda: sink.deliveries)
    assert sink.deliveries[0].offset is None
    assert sink.deliveries[0].fingerprint is None


async def test_warm_beside_a_conflated_feed(stage: Stage) -> None:
    """With ``warm`` a conflated feed goes on as without: order, no offsets, live once."""
    feed = source(CONFLATED, warm="1h")
    feed = replace(feed, queue=f"q-{feed.spec.name}.warm")
    publisher, sink = await stage.start(feed)
    name = feed.spec.name
    bodies = [str(number).encode() for number in range(50)]
    for body in bodies:
        await publisher.publish(name, Message(f"{name}.a", body))
    await until(lambda: sink.bodies(name) == bodies)
    assert {(delivery.offset, delivery.fingerprint) for delivery in sink.deliveries} == {
        (None, None)
    }
    assert sink.states == [(name, Upstream.LIVE, "")]


async def test_unroutable(stage: Stage) -> None:
    """A routing key that no feed binds is refused by name; the publisher goes on."""
    feed = source(LOSSLESS)
    publisher, sink = await stage.start(feed)
    name = feed.spec.name
    with pytest.raises(Unroutable, match=r"other\.key"):
        await publisher.publish(name, Message("other.key", b"1"))
    with pytest.raises(Unroutable, match="255 bytes"):
        await publisher.publish(name, Message(f"{name}.{'x' * 255}", b"1"))
    with pytest.raises(PublishError, match="no feed 'nonsense'"):
        await publisher.publish("nonsense", Message("other.key", b"1"))
    await publisher.publish(name, Message(f"{name}.a", b"2"))
    await until(lambda: sink.bodies(name) == [b"2"])


async def test_two_feeds_share_an_exchange(stage: Stage) -> None:
    """Each feed gets what its own patterns match, whichever feed it was published for."""
    quotes = source(CONFLATED, exchange="x-shared")
    trades = source(LOSSLESS, exchange="x-shared", bind=(f"{quotes.spec.name}t.*",))
    publisher, sink = await stage.start(quotes, trades)
    await publisher.publish(quotes.spec.name, Message(f"{quotes.spec.name}t.a", b"t"))
    await publisher.publish(quotes.spec.name, Message(f"{quotes.spec.name}.a", b"q"))
    await until(lambda: len(sink.deliveries) == 2)
    assert sink.bodies(quotes.spec.name) == [b"q"]
    assert sink.bodies(trades.spec.name) == [b"t"]


async def test_a_sink_that_raises(stage: Stage) -> None:
    """A sink that raises on everything does not stop what comes after it."""
    feed = source(LOSSLESS, prefetch=10)
    publisher, sink = await stage.start(feed, sink=Failing())
    name = feed.spec.name
    for number in range(40):
        await publisher.publish(name, Message(f"{name}.a", str(number).encode()))
    await until(lambda: len(sink.deliveries) == 40)
    assert [state for _, state, _ in sink.states] == [Upstream.LIVE], "nor is it read again"


async def test_states(stage: Stage) -> None:
    """A feed is said to be live once, and nothing is said about a clean stop."""
    feed = source(LOSSLESS)
    sink = Recorder()
    broker = stage.broker([feed], sink)
    async with running(broker):
        await until(lambda: sink.is_live(feed.spec.name))
    assert sink.states == [(feed.spec.name, Upstream.LIVE, "")]


async def test_nothing_is_left_behind(stage: Stage) -> None:
    """After the cancellation of run() and close() no task is left, and both are idempotent."""
    before = asyncio.all_tasks()
    feeds = [source(LOSSLESS), source(CONFLATED)]
    sink = Recorder()
    broker = stage.broker(feeds, sink)
    async with running(broker):
        await until(lambda: all(sink.is_live(feed.spec.name) for feed in feeds))
        name = feeds[0].spec.name
        await broker.publish(name, Message(f"{name}.a", b"1"))
        await until(lambda: sink.bodies(name))
    await broker.close()
    await until(lambda: asyncio.all_tasks() <= before)


async def test_a_publisher_alone(stage: Stage) -> None:
    """Without a sink a broker publishes and refuses to consume."""
    broker = stage.broker([source(LOSSLESS)], None)
    with pytest.raises(TickfanError, match="can only publish"):
        await broker.run()
    await broker.close()


async def test_memory_not_running() -> None:
    """The embedded broker refuses what nobody would receive."""
    feed = source(LOSSLESS)
    with pytest.raises(BrokerDown, match="not running"):
        await MemoryBroker([feed], Recorder()).publish(
            feed.spec.name, Message(f"{feed.spec.name}.a", b"1")
        )
