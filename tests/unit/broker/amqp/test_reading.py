"""tickfan.broker.amqp.reading: what a reader makes of each message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.support import amqp
from tests.support.broker import LOSSLESS, Recorder, source
from tests.support.fanout import skips_time
from tests.unit.broker.amqp.fakes import FakeLink, link_to, message
from tickfan.broker.amqp.consumer import ConsumerLost
from tickfan.broker.amqp.reading import Changed, Doubt
from tickfan.broker.amqp.stream import LosslessFeed
from tickfan.broker.base import TopologyError
from tickfan.core.errors import TickfanError

if TYPE_CHECKING:
    from tickfan.broker.amqp.connection import Link
    from tickfan.broker.base import Received


class Reader:
    """A feed, what its sink was told, and streams in memory for it to attach to."""

    def __init__(self, **settings: Any) -> None:
        self.sink = Recorder()
        options = amqp.options("amqp://h/", **settings)
        self.feed = LosslessFeed(source(LOSSLESS, "f"), self.sink, options)

    async def attach(self, *stream: Received) -> Exception | None:
        """Over a new connection; all of ``stream`` comes. Returns what has ended the consumer."""
        try:
            await self.feed.attach(link_to(*stream))
        except ConsumerLost as end:
            return end
        return self.end

    @property
    def end(self) -> Exception | None:
        """What has ended the consumer."""
        assert self.feed.consumer is not None
        try:
            self.feed.consumer.raise_if_lost()
        except TickfanError as end:
            return end
        return None


@skips_time
async def test_each_offset_once() -> None:
    """What comes again is passed over; a roll-over's hole is no news."""
    reader = Reader()
    await reader.attach(message(5))
    for offset in (5, 6, 6, 5, 7, 9):
        reader.feed.handle(message(offset))
    assert reader.sink.offsets("f") == [5, 6, 7, 9]
    assert reader.end is None


@skips_time
async def test_a_hole_is_doubted_once() -> None:
    """It ends the consumer; met again after the message before it was confirmed, it is none."""
    reader = Reader()
    await reader.attach(message(5, b"5"))
    reader.feed.handle(message(8))
    assert isinstance(reader.end, Doubt)
    assert await reader.attach(message(5, b"5"), message(8), message(9)) is None
    assert reader.sink.offsets("f") == [5, 8, 9]
    assert reader.sink.resets == []


@skips_time
async def test_another_hole_is_doubted_again() -> None:
    """A confirmed message says nothing about a longer hole."""
    reader = Reader()
    await reader.attach(message(5, b"5"))
    reader.feed.handle(message(8))
    assert isinstance(await reader.attach(message(5, b"5"), message(12)), Doubt)
    assert reader.sink.offsets("f") == [5]


@skips_time
async def test_how_large_a_hole_is_no_news() -> None:
    """One offset by default; an option of who makes the broker."""
    for holes, doubtful in ((0, 7), (1, 8), (2, 9)):
        reader = Reader(hole_max=holes)
        await reader.attach(message(5))
        reader.feed.handle(message(doubtful))
        assert isinstance(reader.end, Doubt)
        reader = Reader(hole_max=holes)
        await reader.attach(message(5))
        reader.feed.handle(message(doubtful - 1))
        assert reader.end is None


@pytest.mark.parametrize(
    ("offset", "body", "word"),
    [(5, b"new", "recreated"), (3, b"5", "recreated"), (9, b"5", "truncated")],
)
@skips_time
async def test_a_resume_demands_the_same_message(offset: int, body: bytes, word: str) -> None:
    """Another one ends it, with the reason; nothing is handed over."""
    reader = Reader()
    await reader.attach(message(5, b"5"))
    end = await reader.attach(message(offset, body), message(20))
    assert isinstance(end, Changed)
    assert end.word == word
    assert reader.sink.resets == [("f", word)]
    assert reader.sink.bodies("f") == [b"5"]


@pytest.mark.parametrize("wrong", [[], [message(0, b"an early one of the last chunk")]])
@skips_time
async def test_a_wrong_tail(wrong: list[Received]) -> None:
    """A broker that freezes just while it is asked for the tail does not cost a reset."""
    reader = Reader()
    await reader.attach(message(5, b"5"))
    link = FakeLink([message(5, b"5"), message(6, b"6")])
    link.tails.append(wrong)
    await reader.feed.attach(cast("Link", link))
    assert link.tails == [], "it was asked"
    assert reader.sink.bodies("f") == [b"5", b"6"]
    assert reader.sink.resets == []
    assert reader.sink.is_live("f")


@skips_time
async def test_a_tail_that_is_wrong_twice_is_another_stream() -> None:
    """To be frozen twice in a row is not believed."""
    reader = Reader()
    await reader.attach(message(5, b"5"))
    await reader.attach(message(2, b"2"))
    assert reader.sink.resets == [("f", "recreated")]
    assert reader.sink.bodies("f") == [b"5", b"2"]


@skips_time
async def test_a_beginning_that_is_missing() -> None:
    """A stream known to be empty whose first message stands far in has lost what came before."""
    reader = Reader()
    await reader.attach()
    reader.feed.handle(message(40))
    assert reader.sink.resets == [("f", "truncated")]
    assert reader.sink.offsets("f") == [40]
    assert reader.sink.is_live("f")


@skips_time
async def test_a_classic_queue() -> None:
    """Messages without offsets are not a stream's."""
    reader = Reader()
    await reader.attach()
    reader.feed.handle(message())
    assert isinstance(reader.end, TopologyError)
