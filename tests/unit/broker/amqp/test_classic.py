"""tickfan.broker.amqp.classic: what waits, what is passed over, what is let go."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiormq.exceptions import ChannelClosed

from tests.support import amqp
from tests.support.broker import CONFLATED, Recorder, source
from tests.support.fanout import skips_time
from tests.unit.broker.amqp.fakes import FakeChannel, FakeLink, link_to, message
from tickfan.broker.amqp.classic import STUCK_PROBES, ConflatedFeed
from tickfan.broker.amqp.consumer import Consumer, ConsumerLost

if TYPE_CHECKING:
    from tickfan.broker.amqp.connection import Link
    from tickfan.broker.base import Received


CHANNELS_BEFORE = 3
"""The consumer's and two of the exchange's watch; the next one is for the stream."""


def made() -> tuple[ConflatedFeed, Recorder]:
    sink = Recorder()
    return ConflatedFeed(source(CONFLATED, "f", warm="1h"), sink, amqp.options("amqp://h/")), sink


def consuming() -> tuple[Any, Consumer]:
    channel = cast("Any", FakeChannel())
    return channel, Consumer(channel, channel.incoming, 8, lambda _: None)


async def test_stuck() -> None:
    """Messages that wait while none comes, for some probes in a row, end the consumer."""
    feed, _ = made()
    channel, consumer = consuming()
    channel.waiting = 1
    for _ in range(STUCK_PROBES - 1):
        await feed.check(link_to(), channel, consumer)
    with pytest.raises(ConsumerLost, match="messages wait"):
        await feed.check(link_to(), channel, consumer)


async def test_half_a_message_is_not_stuck() -> None:
    """A large one may take longer than some probes on a slow link."""
    feed, _ = made()
    channel, consumer = consuming()
    channel.waiting = 1
    channel.incoming.amid.add(channel.number)
    for _ in range(STUCK_PROBES + 1):
        await feed.check(link_to(), channel, consumer)


class WarmBroker:
    """A stream and a queue in memory, and a warm feed that attaches to them again and again."""

    def __init__(self) -> None:
        self.feed, self.sink = made()
        self.asked_from = ""  # of the last read-back, such as ``1h`` or ``12s``

    async def attach(self, *stream: Received, queue: tuple[Received, ...] = ()) -> None:
        """Over a new connection, to a stream and a queue that hold these messages."""
        link = FakeLink(list(stream))
        link.queued.extend(queue)
        await self.feed.attach(cast("Link", link))
        asked = [each.asked_from for each in link.channels if each.asked_from]
        self.asked_from = asked[-1]

    async def drain(self, probes: int = 2) -> None:
        """Probes that find nothing waiting; after two of them all that was on its way has come."""
        for _ in range(probes):
            assert self.feed.consumer is not None
            channel = cast("Any", FakeChannel())
            await self.feed.check(link_to(), channel, self.feed.consumer)


def broken() -> tuple[Received, ...]:
    """A stream that cannot be read to its end, nor beyond its first message."""
    return message(7, b"half"), message(None), message(8, b"end"), message(9, b"end")


@skips_time
async def test_what_waits_comes_after_the_past() -> None:
    """Without what the stream has given; the same bytes published later do count."""
    broker = WarmBroker()
    both, new = message(body=b"2"), message(body=b"3")
    await broker.attach(message(1, b"1"), message(2, b"2"), queue=(both, new))
    assert broker.sink.bodies("f") == [b"1", b"2", b"3"]
    broker.feed.handle(both)
    assert broker.sink.bodies("f") == [b"1", b"2", b"3", b"2"]


@skips_time
async def test_the_past_does_not_pass_by_again() -> None:
    """Once values were shown, the newest of each key comes, in the order of these; all batches."""
    broker = WarmBroker()
    await broker.attach(message(1, b"shown"))
    past = [
        ("a", b"1", False),
        ("x", b"2", True),
        ("b", b"3", False),
        ("x", b"4", True),
        ("a", b"5", False),
    ]
    await broker.attach(
        *(
            message(offset, body, key)._replace(batch=batch)
            for offset, (key, body, batch) in enumerate(past, 2)
        )
    )
    assert broker.sink.bodies("f") == [b"shown", b"2", b"3", b"4", b"5"]


@pytest.mark.parametrize(("probes", "comes"), [(1, False), (2, True)])
@skips_time
async def test_a_drained_queue_needs_no_fingerprints(probes: int, *, comes: bool) -> None:
    """Seen empty twice, nothing that the stream has given is on its way any more."""
    broker = WarmBroker()
    await broker.attach(message(1, b"1"))
    await broker.drain(probes)
    broker.feed.handle(message(body=b"1"))
    assert broker.sink.bodies("f") == [b"1"] * (1 + comes)


@skips_time
async def test_what_was_held_comes_behind_the_past() -> None:
    """After an outage the older value is in the stream and the newer in the queue: not back."""
    broker = WarmBroker()
    await broker.attach(message(1, b"1"))
    await broker.attach(message(1, b"1"), message(2, b"2"), queue=(message(body=b"3"),))
    assert broker.sink.bodies("f") == [b"1", b"2", b"3"]
    assert broker.sink.why("f") == ""


@skips_time
async def test_an_outage_is_read_back_whole() -> None:
    """However long it was, and with some seconds to spare: queues and streams lag."""
    broker = WarmBroker()
    await broker.attach(message(1))
    assert broker.asked_from == "1h", "the first time, all that the setting names"
    await broker.drain()
    await asyncio.sleep(100)
    await broker.attach(message(1))
    assert 102 <= int(broker.asked_from.removesuffix("s")) <= 110


@skips_time
async def test_a_live_feed_is_read_back_from_its_last_confirmation() -> None:
    """While its queue is seen empty nothing is missing; that need not be read again."""
    broker = WarmBroker()
    await broker.attach(message(1))
    await asyncio.sleep(100)
    await broker.drain()
    await asyncio.sleep(10)
    await broker.attach(message(1))
    assert 12 <= int(broker.asked_from.removesuffix("s")) <= 20


@skips_time
async def test_a_read_back_that_failed_confirms_nothing() -> None:
    """Its outage is read with the next one; an empty queue does not say what was missed."""
    broker = WarmBroker()
    await broker.attach(message(1))
    await asyncio.sleep(100)
    await broker.attach(*broken())
    await broker.drain()
    await asyncio.sleep(50)
    await broker.attach(message(1))
    assert 152 <= int(broker.asked_from.removesuffix("s")) <= 160


@skips_time
async def test_of_a_broken_read_back_nothing_is_shown() -> None:
    """Half of it may be older than what was shown; the feed is live all the same, and says why."""
    broker = WarmBroker()
    await broker.attach(message(1, b"1"))
    await broker.attach(*broken(), queue=(message(body=b"3"),))
    assert broker.sink.bodies("f") == [b"1", b"3"]
    assert broker.sink.is_live("f")
    assert broker.sink.why("f").startswith("without the values of the last 1h: ")
    assert "not a stream" in broker.sink.why("f")


async def test_who_is_stopped_while_the_stream_is_made_stops() -> None:
    """Where the call ends with an error, as aiormq's may: else the feed would be served on."""

    class Stuck(FakeLink):
        async def channel(self, *, confirms: bool = False) -> FakeChannel:
            if len(self.channels) < CHANNELS_BEFORE:
                return await super().channel(confirms=confirms)
            asked.set()
            try:
                return await asyncio.Future()
            except asyncio.CancelledError as error:
                raise ChannelClosed(504, "closed already") from error

    asked = asyncio.Event()
    feed, sink = made()
    attaching = asyncio.ensure_future(feed.attach(cast("Link", Stuck([message(1)]))))
    await asked.wait()
    attaching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attaching
    assert sink.states == []
