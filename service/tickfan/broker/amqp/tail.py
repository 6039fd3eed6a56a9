"""The newest message of a stream: what a reader has to reach to be up to date.

Must not know feeds, nor why somebody asks.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from tickfan.broker.amqp.advice import not_a_stream
from tickfan.broker.amqp.consumer import Consumer

if TYPE_CHECKING:
    from tickfan.broker.amqp.connection import Link
    from tickfan.broker.base import FeedSource, Received

EMPTY_AFTER_S = 1.0
"""A stream that says nothing to ``last`` for so long is empty (it answers in ms)."""
TAIL_DRAINED_AFTER_S = 0.1
TAIL_DRAINS_MAX = 10


class Seen(NamedTuple):
    """A message that stands in the stream, or stood there."""

    offset: int
    fingerprint: str


async def find_tail(link: Link, source: FeedSource, patience: float = 1.0) -> Seen | None:
    """The newest message of the feed's stream; None if it is empty.

    ``last`` gives the last chunk, which holds many messages, and then what is published. So
    the newest is known after a short silence. If messages keep coming, the one after about
    a second is new enough. ``patience`` makes the silences so many times longer; a frozen
    broker or a slow link may still deceive.
    """
    newest: list[Seen] = []

    def handle(message: Received) -> None:
        if message.offset is None:
            consumer.lose(not_a_stream(source))
            return
        newest[:] = [Seen(message.offset, message.fingerprint())]

    consumer = Consumer(await link.channel(), link.incoming, source.prefetch, handle)
    try:
        await consumer.read(source, "last")
        await consumer.has_begun(EMPTY_AFTER_S * patience)
        seen, drains = 0, 0
        while (consumer.received > seen or consumer.is_amid) and drains < TAIL_DRAINS_MAX:
            drains += consumer.received > seen  # half a message is no message
            seen = consumer.received
            await consumer.ack()
            await asyncio.sleep(TAIL_DRAINED_AFTER_S * patience)
        consumer.raise_if_lost()
    finally:
        await consumer.detach()
    return newest[0] if newest else None
