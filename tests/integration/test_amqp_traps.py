"""The traps of streams, each on a real node: found, answered, and never a hang."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from loadtest.rig.waiting import until
from tests.support.amqp import delete, options, proxied, proxy_to
from tests.support.broker import LOSSLESS, Load, Recorder, running, source
from tickfan.broker.amqp import AmqpBroker
from tickfan.broker.base import FeedSource, Message
from tickfan.core.feed import Upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadtest.rig.proxy import FaultProxy
    from loadtest.rig.rabbitmq import RabbitNode
    from tests.conftest import Rabbit

FILLER = b" " * 5_000
SMALL = {"retention_bytes": 100_000, "segment_bytes": 20_000}
"""A stream that keeps some twenty messages of that size."""


class Stand:
    """One feed: its publisher goes straight to the broker, its reader through a proxy."""

    def __init__(self, url: str, proxy: FaultProxy, feed: FeedSource, hole_max: int) -> None:
        self.feed = feed
        self.name = feed.spec.name
        self.url = url
        self.proxy = proxy
        self.sink = Recorder()
        self.publisher = AmqpBroker([feed], None, options(url))
        through = options(proxied(url, proxy), hole_max=hole_max)
        self.reader = AmqpBroker([feed], self.sink, through)

    async def publish(self, *numbers: int, filler: bytes = b"", ids: str | None = "id") -> None:
        """Publish numbers; ``ids`` begins their message ids."""
        for number in numbers:
            body = str(number).encode() + filler
            message_id = f"{ids}{number}" if ids else None
            await self.publisher.publish(
                self.name, Message(f"{self.name}.a", body, message_id=message_id)
            )

    async def recreate(self) -> None:
        """Delete the stream; who connects next makes it again."""
        await delete(self.url, self.feed.queue)
        await self.publisher.close()

    @property
    def numbers(self) -> list[int]:
        """The numbers that came."""
        return [int(body) for body in self.sink.bodies(self.name)]

    async def caught_up(self, count: int) -> None:
        """Wait until so many messages have come."""
        await until(lambda: len(self.sink.deliveries) >= count)

    async def live(self) -> None:
        """Wait until the feed is live."""
        await until(lambda: self.sink.is_live(self.name))

    async def cut(self) -> None:
        """Cut the reader off until :meth:`mend`."""
        await self.proxy.cut(refuse=True)
        await until(lambda: self.sink.state(self.name) is not Upstream.LIVE)

    async def mend(self) -> None:
        """Let the reader connect again, and wait until it is live."""
        self.proxy.resume()
        await self.live()


@asynccontextmanager
async def standing(rabbitmq: Rabbit, *, hole_max: int = 1, **settings: Any) -> AsyncIterator[Stand]:
    """A reader that is live; its stream is deleted afterwards."""
    async with proxy_to(rabbitmq.url) as proxy:
        stand = Stand(rabbitmq.url, proxy, source(LOSSLESS, **settings), hole_max)
        try:
            async with running(stand.reader):
                await stand.live()
                yield stand
        finally:
            await stand.publisher.close()
            await delete(rabbitmq.url, stand.feed.queue)


@pytest.mark.parametrize("again", [0, 3, 5, 9])
async def test_made_again_while_away(rabbitmq: Rabbit, again: int) -> None:
    """Deleted and made again: empty, shorter (the offset is past its end), as long, longer.

    The same bytes at the same offsets; only the message ids differ.
    """
    async with standing(rabbitmq) as stand:
        await stand.publish(*range(5), ids="old")
        await stand.caught_up(5)
        await stand.cut()
        await stand.recreate()
        await stand.publish(*range(again), ids="new")
        await stand.mend()
        assert stand.sink.resets == [(stand.name, "recreated")]
        await stand.publish(100)
        await until(lambda: stand.numbers[5:] == [*range(again)[-1:], 100])


async def test_made_again_from_the_same_messages(rabbitmq: Rabbit) -> None:
    """The limit: refilled with the very same messages, ids and all, it is the same stream."""
    async with standing(rabbitmq) as stand:
        await stand.publish(*range(5))
        await stand.caught_up(5)
        await stand.cut()
        await stand.recreate()
        await stand.publish(*range(8))
        await stand.mend()
        assert stand.sink.resets == []
        assert stand.numbers == [*range(8)]


async def test_overtaken_while_connected(rabbitmq: Rabbit) -> None:
    """A reader that is too slow for the retention learns that it has missed messages."""
    async with standing(rabbitmq, prefetch=10, **SMALL) as stand:
        await stand.publish(0)
        await stand.caught_up(1)
        stand.proxy.bytes_per_s = 100_000
        await stand.publish(*range(1, 300), filler=FILLER)
        await until(lambda: stand.sink.resets == [(stand.name, "truncated")])
        stand.proxy.bytes_per_s = None
        await until(lambda: stand.numbers[-1:] == [299])
        await stand.live()
        # What came before the reset is unbroken.
        told = next(i for i, number in enumerate(stand.numbers) if number != i)
        assert told < 300
        assert sorted(set(stand.numbers)) == stand.numbers


async def test_a_hole_is_no_loss(rabbitmq: Rabbit) -> None:
    """Offsets that lack without a loss are looked into, and accepted."""
    # RabbitMQ takes one offset at each roll-over: let that be suspicious.
    rolling = {"retention_bytes": 10_000_000, "segment_bytes": 20_000}
    async with standing(rabbitmq, hole_max=0, **rolling) as stand:
        await stand.publish(*range(15), filler=FILLER)
        await until(lambda: stand.numbers == [*range(15)])
        await stand.live()
        assert stand.sink.resets == []
        doubts = [why for _, _, why in stand.sink.states if "overtaken" in why]
        offsets = stand.sink.offsets(stand.name)
        holes = [b for a, b in pairwise(offsets) if b > a + 1]
        assert len(doubts) == len(holes) >= 2


async def test_first_messages_gone_before_they_were_read(rabbitmq: Rabbit) -> None:
    """A stream seen empty, filled and truncated while we are away: its beginning is missing."""
    async with standing(rabbitmq, **SMALL) as stand:
        await stand.cut()
        await stand.publish(*range(60), filler=FILLER)
        await stand.mend()
        await until(lambda: stand.numbers[-1:] == [59])
        assert stand.numbers[0] > 0
        assert stand.sink.resets == [(stand.name, "truncated")]
        await stand.live()


async def test_deleted_where_nothing_is_declared(rabbitmq: Rabbit) -> None:
    """With ``declare = false`` a deleted stream is named until an operator makes it again."""
    async with standing(rabbitmq) as stand:
        await stand.publish(1)
        sink = Recorder()
        broker = AmqpBroker([stand.feed], sink, options(rabbitmq.url, declare=False))
        async with running(broker):
            await until(lambda: sink.bodies(stand.name) == [b"1"])
            await stand.cut()
            await delete(rabbitmq.url, stand.feed.queue)
            await until(lambda: "does not exist" in sink.why(stand.name))
            await stand.recreate()
            await stand.publish(2)
            await until(lambda: sink.bodies(stand.name) == [b"1", b"2"])
            assert sink.resets == [(stand.name, "recreated")]


@pytest.mark.parametrize("outage", ["stopped", "killed", "frozen"])
async def test_outage_under_load(mortal_rabbitmq: RabbitNode, outage: str) -> None:
    """The broker is stopped, killed, frozen for 8 s: all that was confirmed comes, in order.

    The feed is stale within 5 s and live again within 5 s of the broker's
    return, and each offset comes once.
    """
    node = mortal_rabbitmq
    feed, sink = source(LOSSLESS), Recorder()
    name = feed.spec.name
    clock = asyncio.get_running_loop().time
    broker = AmqpBroker([feed], sink, options(node.url, publish_timeout_s=2))
    async with running(broker):
        await until(lambda: sink.is_live(name))
        load = Load(broker, feed)
        await until(lambda: len(sink.deliveries) > 100)
        began = clock()
        # An orderly stop takes its time.
        end = {"stopped": node.stop, "killed": node.kill, "frozen": node.pause}[outage]
        stopping = asyncio.ensure_future(asyncio.to_thread(end))
        await until(lambda: sink.state(name) is Upstream.STALE)
        await stopping
        if outage == "frozen":
            await asyncio.sleep(8 - (clock() - began))  # the outage's length
            node.resume()
        else:
            await asyncio.to_thread(node.start)
        await until(lambda: sink.is_live(name))
        seen = len(sink.deliveries)
        await until(lambda: len(sink.deliveries) > seen + 100)
        await load.stop()
        await until(lambda: int(sink.bodies(name)[-1]) == load.confirmed - 1)
    numbers = [int(body) for body in sink.bodies(name)]
    offsets = sink.offsets(name)
    assert offsets == sorted(set(offsets))
    assert sorted(set(numbers)) == list(range(load.confirmed))
    assert numbers == sorted(numbers)
    assert sink.resets == []
    assert not any("overtaken" in why for _, _, why in sink.states)
