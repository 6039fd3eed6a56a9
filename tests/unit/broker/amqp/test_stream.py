"""tickfan.broker.amqp.stream: what a reader makes of each message."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tests.support import amqp
from tests.support.broker import LOSSLESS, Recorder, source
from tests.unit.broker.amqp.fakes import FakeChannel, message
from tickfan.broker.amqp.consumer import Consumer
from tickfan.broker.amqp.stream import Changed, Doubt, LosslessFeed
from tickfan.broker.amqp.tail import Seen
from tickfan.broker.base import TopologyError


class Made(LosslessFeed):
    """A feed whose sink can be looked at."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        options = amqp.options("amqp://h/")
        super().__init__(source(LOSSLESS, "f"), self.recorder, options)


@pytest.fixture
async def feed() -> LosslessFeed:
    made = Made()
    attach_again(made)
    return made


def attach_again(feed: LosslessFeed) -> None:
    """A new consumer, as after any end of the one before."""
    channel: Any = FakeChannel()
    feed.consumer = Consumer(channel, channel.incoming, 10, feed.handle)


def sink_of(feed: LosslessFeed) -> Recorder:
    return cast("Made", feed).recorder


def end_of(feed: LosslessFeed) -> Exception | None:
    assert feed.consumer is not None
    try:
        feed.consumer.raise_if_lost()
    except Exception as end:  # noqa: BLE001 - whatever it is
        return end
    return None


async def test_each_offset_once(feed: LosslessFeed) -> None:
    """What comes again is passed over; a roll-over's hole is no news."""
    for offset in (5, 6, 6, 5, 7, 9):
        feed.handle(message(offset))
    assert sink_of(feed).offsets("f") == [5, 6, 7, 9]
    assert end_of(feed) is None


async def test_a_hole_is_doubted_once(feed: LosslessFeed) -> None:
    """It ends the consumer; met again after the message before it was confirmed, it is none."""
    first = message(5, b"5")
    feed.handle(first)
    feed.handle(message(8))
    assert isinstance(end_of(feed), Doubt)
    attach_again(feed)
    feed._expect = Seen(5, first.fingerprint())
    feed.handle(first)
    feed.handle(message(8))
    feed.handle(message(9))
    assert end_of(feed) is None
    assert sink_of(feed).offsets("f") == [5, 8, 9]
    assert sink_of(feed).resets == []


async def test_another_hole_is_doubted_again(feed: LosslessFeed) -> None:
    """A confirmed message says nothing about a longer hole."""
    first = message(5, b"5")
    feed.handle(first)
    feed.handle(message(8))
    attach_again(feed)
    feed.handle(message(12))
    assert isinstance(end_of(feed), Doubt)
    assert sink_of(feed).offsets("f") == [5]


@pytest.mark.parametrize(
    ("offset", "body", "word"),
    [(5, b"new", "recreated"), (3, b"5", "recreated"), (9, b"5", "truncated")],
)
async def test_a_resume_demands_the_same_message(
    feed: LosslessFeed, offset: int, body: bytes, word: str
) -> None:
    """Another one ends it, with the reason; nothing is handed over."""
    feed._expect = Seen(5, message(5, b"5").fingerprint())
    feed.handle(message(offset, body))
    end = end_of(feed)
    assert isinstance(end, Changed)
    assert end.word == word
    assert sink_of(feed).deliveries == []


async def test_a_beginning_that_is_missing(feed: LosslessFeed) -> None:
    """A stream known to be empty whose first message stands far in has lost what came before."""
    feed._was_empty = True
    feed.handle(message(40))
    assert sink_of(feed).resets == [("f", "truncated")]
    assert sink_of(feed).offsets("f") == [40]
    assert sink_of(feed).is_live("f")


async def test_a_classic_queue(feed: LosslessFeed) -> None:
    """Messages without offsets are not a stream's."""
    feed.handle(message())
    assert isinstance(end_of(feed), TopologyError)
