"""service.broker.amqp.classic: what waits, what is passed over, what is let go."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

import pytest

from service.broker.amqp.classic import STUCK_PROBES, ConflatedFeed
from service.broker.amqp.connection import AmqpOptions
from service.broker.amqp.consumer import Consumer, ConsumerLost
from service.broker.amqp.deliveries import from_queue, mark_of
from tests.support.broker import CONFLATED, Recorder, source
from tests.unit.broker.amqp.fakes import FakeChannel, link_to, message


def made() -> tuple[ConflatedFeed, Recorder]:
    sink = Recorder()
    return ConflatedFeed(
        source(CONFLATED, "f", warm="1h"), sink, AmqpOptions(urls=("amqp://h/",))
    ), sink


def consuming() -> tuple[Any, Consumer]:
    channel = cast("Any", FakeChannel())
    return channel, Consumer(channel, channel.incoming, 8, lambda _: None)


def test_what_waits_comes_after_the_past() -> None:
    """Without what the stream has given; the same bytes published later do count."""
    feed, sink = made()
    feed._held = []
    both, new = message(body=b"2"), message(body=b"3")
    for each in (both, new):
        feed.handle(each)
    assert sink.deliveries == []
    feed._take(from_queue("f", message(body=b"1")))
    feed._take(from_queue("f", both))
    feed._marks = Counter([mark_of(both)])
    feed._let_go()
    feed.handle(both)
    assert sink.bodies("f") == [b"1", b"2", b"3", b"2"]


def test_the_past_does_not_pass_by_again() -> None:
    """Once values were shown, the newest of each key comes, in the order of these; all batches."""
    feed, sink = made()
    feed._past = {}
    for key, body, batch in [
        ("a", b"1", False),
        ("x", b"2", True),
        ("b", b"3", False),
        ("x", b"4", True),
        ("a", b"5", False),
    ]:
        feed._take(from_queue("f", message(key=key, body=body))._replace(batch=batch))
    assert sink.deliveries == []
    feed._let_go()
    assert sink.bodies("f") == [b"2", b"3", b"4", b"5"]


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


async def test_a_drained_queue_needs_no_fingerprints() -> None:
    """Seen empty twice, nothing that the stream has given is on its way any more."""
    feed, _ = made()
    feed._marks = Counter("a")
    channel, consumer = consuming()
    await feed.check(link_to(), channel, consumer)
    assert feed._marks is not None
    await feed.check(link_to(), channel, consumer)
    assert feed._marks is None
