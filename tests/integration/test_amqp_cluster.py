"""A cluster of three nodes: one after the other goes away, and nothing is lost in silence."""

from __future__ import annotations

import asyncio
import os
import uuid
from typing import TYPE_CHECKING, Any

import aio_pika
import pytest

from loadtest.rig.cluster import RabbitCluster
from loadtest.rig.waiting import until
from tests.conftest import require_rabbitmq
from tests.support.amqp import options
from tests.support.broker import CONFLATED, LOSSLESS, Load, Recorder, running, source
from tickfan.broker.amqp import AmqpBroker
from tickfan.broker.base import Message

if TYPE_CHECKING:
    from collections.abc import Iterator


BACK_S = 30.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitCluster]:
    """One for all tests here, which leave all nodes running."""
    require_rabbitmq()
    cluster = RabbitCluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


@pytest.mark.parametrize("ends", [("stop", "kill"), ("kill", "stop")], ids="-".join)
async def test_one_node_after_the_other(cluster: RabbitCluster, ends: tuple[str, str]) -> None:
    """The leader of the stream and then another node: each update comes once, in order.

    With TICKFAN_LONG the third, too.
    """
    names = [f"f{uuid.uuid4().hex[:12]}" for _ in range(3)]
    feeds = [
        source(LOSSLESS, names[0]),
        source(CONFLATED, names[1]),
        source(CONFLATED, names[2], warm="1m", queue=f"q-{names[2]}"),
    ]
    sink = Recorder()
    broker = AmqpBroker(feeds, sink, options(*cluster.urls, publish_timeout_s=2))

    def is_live() -> bool:
        return all(sink.is_live(name) for name in names)

    async with running(broker):
        await until(is_live, seconds=BACK_S)
        load = Load(broker, *feeds)
        await until(lambda: load.confirmed > 100)
        first = await asyncio.to_thread(cluster.leader, feeds[0].queue)
        others = [node for node in cluster.nodes if node is not first]
        turns = [(first, ends[0]), (others[0], ends[1])]
        if "TICKFAN_LONG" in os.environ:
            turns.append((others[1], ends[0]))
        for node, end in turns:
            await asyncio.to_thread(getattr(node, end))
            confirmed = load.confirmed
            await until(lambda: is_live() and load.confirmed > confirmed + 100, seconds=BACK_S)  # noqa: B023
            await asyncio.to_thread(node.start)
            confirmed = load.confirmed
            await until(lambda: is_live() and load.confirmed > confirmed + 100, seconds=BACK_S)  # noqa: B023
        await load.stop()
        newest = b"%d" % (load.confirmed - 1)
        for name in names:
            await until(lambda: sink.bodies(name)[-1:] == [newest])  # noqa: B023
    numbers = [int(body) for body in sink.bodies(names[0])]
    assert sorted(set(numbers)) == list(range(load.confirmed))
    assert numbers == sorted(numbers)
    offsets = sink.offsets(names[0])
    assert offsets == sorted(set(offsets))
    assert sink.resets == []
    assert [feed.watch.losses for feed in broker.feeds] == [0, 0, 0]


async def test_a_node_without_a_copy_of_the_stream(cluster: RabbitCluster) -> None:
    """It is named, and the feed goes on at the next host; nobody is told to delete the stream."""
    feed, sink = source(LOSSLESS), Recorder()
    name = feed.spec.name
    there, *others = cluster.urls
    connection = await aio_pika.connect(there)
    async with connection, connection.channel() as channel:
        only_here = {"x-initial-cluster-size": 1, "x-queue-leader-locator": "client-local"}
        arguments: dict[str, Any] = {"x-queue-type": "stream", **only_here}
        exchange = await channel.declare_exchange(feed.exchange, "topic", durable=True)
        queue = await channel.declare_queue(feed.queue, durable=True, arguments=arguments)
        await queue.bind(exchange, f"{name}.#")
    broker = AmqpBroker([feed], sink, options(*others, there, declare=False))
    async with running(broker):
        await until(lambda: sink.is_live(name))
        await broker.publish(name, Message(f"{name}.a", b"1"))
        await until(lambda: sink.bodies(name) == [b"1"])
    whys = [why for _, _, why in sink.states if why]
    assert len(whys) == len(others)
    assert all("no running copy" in why for why in whys)
    assert not any("delete" in why for why in whys)
