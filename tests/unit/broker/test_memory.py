"""The embedded broker, where it is more than the shared contract."""

from __future__ import annotations

import asyncio

import pytest

from loadtest.rig.waiting import until
from tests.support.broker import CONFLATED, LOSSLESS, Recorder, running, source
from tickfan.broker.base import BrokerDown, Message
from tickfan.broker.memory import MemoryBroker
from tickfan.core.cursor import fingerprint


async def test_published_is_delivered_at_once() -> None:
    """When publish() returns, the sink has the message."""
    feed, sink = source(LOSSLESS), Recorder()
    name = feed.spec.name
    broker = MemoryBroker([feed], sink)
    async with running(broker):
        await until(lambda: sink.is_live(name))
        await broker.publish(name, Message(f"{name}.a", b"1"))
        assert sink.bodies(name) == [b"1"]


async def test_fingerprint_counts_the_message_id() -> None:
    """The fingerprint is that of the key, the body, the given id and the time."""
    feed, sink = source(LOSSLESS), Recorder()
    key = f"{feed.spec.name}.a"
    broker = MemoryBroker([feed], sink)
    async with running(broker):
        await until(lambda: sink.is_live(feed.spec.name))
        await broker.publish(feed.spec.name, Message(key, b"1", ts=5, message_id="m"))
    assert sink.deliveries[0].fingerprint == fingerprint(key, b"1", "m", 5)


async def test_each_exchange_for_itself() -> None:
    """A key goes to the feeds of the exchange that was published to, not to others."""
    one = source(CONFLATED, bind=("a.#",))
    other = source(LOSSLESS, bind=("a.*",))
    sink = Recorder()
    broker = MemoryBroker([one, other], sink)
    async with running(broker):
        await until(lambda: sink.is_live(other.spec.name))
        await broker.publish(other.spec.name, Message("a.b", b"1"))
    assert [delivery.feed for delivery in sink.deliveries] == [other.spec.name]


async def test_stopped_again() -> None:
    """After its run the broker refuses messages instead of losing them."""
    feed, sink = source(LOSSLESS), Recorder()
    broker = MemoryBroker([feed], sink)
    async with running(broker):
        await until(lambda: sink.is_live(feed.spec.name))
    with pytest.raises(BrokerDown):
        await broker.publish(feed.spec.name, Message(f"{feed.spec.name}.a", b"1"))
    assert len(asyncio.all_tasks()) == 1


async def test_without_a_sink_routing_is_checked() -> None:
    """A publisher alone is confirmed for what a feed binds."""
    feed = source(LOSSLESS)
    await MemoryBroker([feed], None).publish(feed.spec.name, Message(f"{feed.spec.name}.a", b"1"))
