"""tickfan.broker.amqp.stream: where a reader begins; with a broker: tests/integration."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from tests.support import amqp
from tests.support.broker import LOSSLESS, Recorder, source
from tests.support.fanout import skips_time
from tests.unit.broker.amqp.fakes import FakeLink, link_to, message
from tickfan.broker.amqp.consumer import ConsumerLost
from tickfan.broker.amqp.obstacle import TRIES
from tickfan.broker.amqp.stream import LosslessFeed
from tickfan.broker.base import FIRST
from tickfan.core.feed import Upstream

if TYPE_CHECKING:
    from tickfan.broker.amqp.connection import Link
    from tickfan.broker.base import Received


async def test_a_crash_of_the_broker_suspects_a_message_only_while_one_is_read() -> None:
    """It is careful from then on, but steps over nothing for what may have other causes."""
    sink = Recorder()
    feed = LosslessFeed(source(LOSSLESS, "f"), sink, amqp.options("amqp://h/"))
    feed.live()
    feed.cut("no answer")
    assert (feed.obstacle.is_near, feed.is_stepping) == (False, False)
    feed.cut("INTERNAL_ERROR", is_crash=True)  # two replicas that declare the same at once, say
    assert (feed.obstacle.is_near, "cannot deliver" in sink.why("f")) == (False, False)
    feed.has_asked = True
    for _ in range(10):
        feed.cut("INTERNAL_ERROR", is_crash=True)
    assert (feed.obstacle.is_near, feed.is_stepping) == (True, False)
    feed.is_reading = True
    feed.cut("INTERNAL_ERROR", is_crash=True)
    assert (feed.obstacle.tries, feed.is_stepping) == (1, False)
    for _ in range(TRIES):
        feed.is_reading = True
        feed.cut("INTERNAL_ERROR", is_crash=True)
    assert feed.is_stepping
    assert sink.state("f") is Upstream.STALE
    for word in ("INTERNAL_ERROR", "cannot deliver", "'q-f'", "after offset -1"):
        assert word in sink.why("f")


@skips_time
async def test_what_came_while_a_careful_reader_without_a_place_was_away_is_told() -> None:
    """It reads what is published next; of what was published before it knows nothing."""
    sink = Recorder()
    feed = LosslessFeed(source(LOSSLESS, "f"), sink, amqp.options("amqp://h/"))
    feed.has_asked = True
    feed.cut("INTERNAL_ERROR", is_crash=True)
    await feed.attach(link_to())
    assert (sink.resets, sink.is_live("f")) == ([], True)
    feed.cut("no answer")
    await feed.attach(link_to())
    assert (sink.resets, sink.is_live("f")) == ([("f", "undeliverable")], True)


async def stuck_at_5(sink: Recorder) -> LosslessFeed:
    """A feed that has read 5, and is about to step over four offsets behind it."""
    feed = LosslessFeed(source(LOSSLESS, "f"), sink, amqp.options("amqp://h/"))
    await feed.attach(link_to(message(5)))
    for _ in range(TRIES + 3):
        feed.is_reading = True
        feed.cut("INTERNAL_ERROR", is_crash=True)
    assert feed.is_stepping
    return feed


@pytest.mark.parametrize("is_crash", [False, True])
@skips_time
async def test_it_steps_over_what_it_has_tried_and_nothing_else(is_crash: bool) -> None:
    """The connection is lost once more soon after: the feed goes on behind what it has read."""
    sink = Recorder()
    feed = await stuck_at_5(sink)
    await feed.attach(link_to(message(10)))
    feed.cut("cut again", is_crash=is_crash)
    assert not feed.is_stepping
    await feed.attach(link_to(message(10), message(11), message(12)))
    assert sink.offsets("f") == [5, 10, 11, 12]
    assert sink.resets == [("f", "undeliverable")]
    assert sink.is_live("f")


@skips_time
async def test_a_stream_that_is_made_again_is_read_also_while_the_old_one_is_stepped_over() -> None:
    """That is how an operator gets rid of such a message. The new offsets are the smaller ones."""
    sink = Recorder()
    feed = await stuck_at_5(sink)
    await feed.attach(link_to())
    feed.handle(message(0))
    assert feed.consumer is not None
    with pytest.raises(ConsumerLost, match="recreated"):
        feed.consumer.raise_if_lost()
    assert sink.resets[-1] == ("f", "recreated")
    await feed.attach(link_to(message(0), message(1)))
    assert sink.offsets("f")[-2:] == [0, 1]
    assert sink.is_live("f")


class Watching(Recorder):
    """Notes at each message whether the feed was live by then."""

    def __init__(self) -> None:
        super().__init__()
        self.were_live: list[bool] = []

    def deliver(self, feed: str, message: Received, fingerprint: str | None = None) -> None:
        self.were_live.append(self.is_live(feed))
        super().deliver(feed, message, fingerprint)


@skips_time
async def test_where_all_must_be_read_silence_is_no_empty_stream() -> None:
    """The broker was slow to tell the tail: the feed is live after it, and not before."""
    sink = Watching()
    feed = LosslessFeed(source(LOSSLESS, "f", warm=FIRST), sink, amqp.options("amqp://h/"))
    link = FakeLink([message(0), message(1)])
    link.tails = [[]]
    await feed.attach(cast("Link", link))
    assert (sink.offsets("f"), sink.were_live) == ([0, 1], [False, False])
    assert sink.is_live("f")


@skips_time
async def test_where_all_must_be_read_the_tail_is_not_taken_in_its_place() -> None:
    """Nothing comes of the past in time: it is asked for again, and the feed is not live."""
    sink = Recorder()
    feed = LosslessFeed(source(LOSSLESS, "f", warm=FIRST), sink, amqp.options("amqp://h/"))
    link = FakeLink([])
    link.tails = [[message(5)]]
    with pytest.raises(ConsumerLost, match="silent"):
        await feed.attach(cast("Link", link))
    assert {channel.asked_from for channel in link.channels} - {None} == {"last", "first"}
    assert not sink.is_live("f")
    link.messages += [message(4), message(5)]
    await feed.attach(cast("Link", link))
    assert sink.offsets("f") == [4, 5]
    assert sink.is_live("f")
