"""A conflated feed over AMQP: its own bounded queue, gone with its consumer.

Must not know streams, offsets or other replicas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.broker.amqp.consumer import Consumer, ConsumerLost
from service.broker.amqp.deliveries import from_queue
from service.broker.amqp.feed import AmqpFeed
from service.broker.amqp.topology import own_queue, prepare_exchange

if TYPE_CHECKING:
    from aiormq.abc import AbstractChannel, DeliveredMessage

    from service.broker.amqp.connection import AmqpOptions, Link
    from service.broker.base import FeedSource, Sink

STUCK_PROBES = 3
"""Probes in a row that see messages waiting while none is received."""


class ConflatedFeed(AmqpFeed):
    """Live from an exclusive queue with a new name for each attachment.

    A name that is used again would have to wait until the broker has noticed
    the death of the connection that owned it.
    """

    def __init__(self, source: FeedSource, sink: Sink, options: AmqpOptions) -> None:
        super().__init__(source, sink, options)
        self._queue = ""
        self._stuck = 0
        self._seen = 0

    async def attach(self, link: Link) -> None:
        """Make the queue and consume it; what is published from now on comes."""
        source = self.source
        consumer = await self.new_consumer(link)
        await prepare_exchange(consumer.channel, source.exchange, declare=self._options.declare)
        self._stuck = 0
        self._queue = await own_queue(consumer.channel, source)
        await consumer.attach(self._queue)
        self.live()

    async def check(self, link: Link, channel: AbstractChannel, consumer: Consumer) -> None:
        """The queue must exist, have its consumer, and be emptied by it."""
        del link, consumer
        answer = await channel.queue_declare(self._queue, passive=True)
        if not answer.consumer_count:
            raise ConsumerLost("the broker has lost the consumer")
        waits = bool(answer.message_count) and self.received == self._seen
        self._stuck = self._stuck + 1 if waits else 0
        self._seen = self.received
        if self._stuck >= STUCK_PROBES:
            raise ConsumerLost("messages wait, but the consumer receives none")

    def handle(self, message: DeliveredMessage) -> None:
        """Hand it over."""
        self.hand_over(from_queue(self.name, message))
