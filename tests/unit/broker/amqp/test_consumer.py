"""tickfan.broker.amqp.consumer"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest
from aiormq.exceptions import ChannelInvalidStateError

from loadtest.rig.waiting import DEADLINE_S, until
from tests.unit.broker.amqp.fakes import FakeChannel, message
from tickfan.broker.amqp.consumer import Consumer, ConsumerLost

if TYPE_CHECKING:
    from aiormq.abc import AbstractChannel

    from tickfan.broker.base import Received


def made(channel: FakeChannel, taken: list[Received], prefetch: int = 8) -> Consumer:
    return Consumer(cast("AbstractChannel", channel), channel.incoming, prefetch, taken.append)


async def test_acks_in_batches_and_the_tail_too() -> None:
    """All that was handed over is acked, with rising tags, few times."""
    channel = FakeChannel([message(offset) for offset in range(11)])
    taken: list[Received] = []
    consumer = made(channel, taken)
    await consumer.attach("q", {"x-stream-offset": "first"})
    running = asyncio.ensure_future(consumer.run())
    await until(lambda: channel.acked[-1:] == [11])
    assert len(taken) == consumer.received == 11
    assert channel.acked == sorted(set(channel.acked))
    await consumer.detach()
    with pytest.raises(ConsumerLost):
        await running
    assert channel.is_closed


async def test_a_full_batch_is_acked_at_once() -> None:
    """Not at the next tick: a prefetch for each tick would be all that ever comes."""
    channel = FakeChannel([message(offset) for offset in range(11)])
    consumer = made(channel, [])
    running = asyncio.ensure_future(consumer.run())
    await asyncio.sleep(0)
    await consumer.attach("q")
    for _ in range(20):
        await asyncio.sleep(0)
    assert channel.acked == [11]
    await consumer.detach()
    with pytest.raises(ConsumerLost):
        await running


async def test_who_is_stopped_while_it_detaches_stops() -> None:
    """Also where the channel ends that call with an error of its own, as aiormq's may."""

    class Closing(FakeChannel):
        begun = False

        async def close(self) -> None:
            self.begun = True
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError as error:
                raise ChannelInvalidStateError("closed already") from error

    channel = Closing()
    consumer = made(channel, [])
    await consumer.attach("q")
    detaching = asyncio.ensure_future(consumer.detach())
    await until(lambda: channel.begun)
    detaching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await detaching
    assert consumer.is_lost


async def test_nothing_is_taken_after_the_end() -> None:
    """What comes after it was lost is not handed over, and its end is what was said first."""
    channel = FakeChannel([message(1)])
    taken: list[Received] = []
    consumer = made(channel, taken)
    consumer.lose(ConsumerLost("the first reason"))
    await consumer.attach("q")
    await channel.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert taken == []
    with pytest.raises(ConsumerLost, match="the first reason"):
        consumer.raise_if_lost()


async def test_a_fault_of_ours_ends_the_consumer_alone() -> None:
    """Raised to the socket's protocol, it would end the connection and every other feed."""
    channel = FakeChannel([message(1), message(2)])

    def fail(_message: Received) -> None:
        raise ValueError("a bug")

    consumer = Consumer(cast("AbstractChannel", channel), channel.incoming, 8, fail)
    await consumer.attach("q")
    with pytest.raises(ConsumerLost, match="could not be handled: ValueError"):
        async with asyncio.timeout(DEADLINE_S):
            await consumer.run()
    assert consumer.received == 1


async def test_a_message_that_has_begun_is_waited_for() -> None:
    """Silence is told from a large message on a slow link."""
    channel = FakeChannel()
    consumer = made(channel, [])
    await consumer.attach("q")
    assert not await consumer.has_begun(0.01)
    channel.incoming.amid.add(channel.number)
    waiting = asyncio.ensure_future(consumer.has_begun(0.01))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    channel.incoming.routes[channel.number](message(1))
    async with asyncio.timeout(DEADLINE_S):
        assert await waiting


async def test_a_closed_channel_ends_it() -> None:
    """So does a cancellation by the broker."""
    for cancelled in (False, True):
        channel = FakeChannel()
        consumer = made(channel, [])
        await consumer.attach("q")
        if cancelled:
            [callback] = channel.on_consumer_cancel_callbacks
            callback(None)
        else:
            await channel.close()
            await asyncio.sleep(0)
        assert consumer.is_lost
        assert consumer.first.is_set()
