"""tickfan.broker.amqp.stream: where a reader begins; with a broker: tests/integration."""

from __future__ import annotations

from tests.support import amqp
from tests.support.broker import LOSSLESS, Recorder, source
from tickfan.broker.amqp.obstacle import TRIES
from tickfan.broker.amqp.stream import LosslessFeed
from tickfan.core.feed import Upstream


async def test_a_crash_of_the_broker_suspects_a_message_only_while_one_is_read() -> None:
    """It is careful from then on, but steps over nothing for what may have other causes."""
    sink = Recorder()
    feed = LosslessFeed(source(LOSSLESS, "f"), sink, amqp.options("amqp://h/"))
    feed.live()
    feed.cut("no answer")
    assert (feed.obstacle.is_near, feed.obstacle.step) == (False, 0)
    for _ in range(10):
        feed.cut("INTERNAL_ERROR", is_crash=True)
    assert (feed.obstacle.is_near, feed.obstacle.step) == (True, 0)
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
