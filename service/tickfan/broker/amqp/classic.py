"""A conflated feed over AMQP: its own bounded queue, gone with its consumer.

With ``warm``, a small stream beside the queue is bound to the same patterns. It is read
back at each attach, so that a channel which is quiet now has its value again. Must not know
other replicas.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from aiormq.exceptions import AMQPError

from tickfan.broker.amqp.causes import reason
from tickfan.broker.amqp.connection import raise_if_cancelled
from tickfan.broker.amqp.consumer import Consumer, ConsumerLost
from tickfan.broker.amqp.feed import ATTACH_TIMEOUT_S, AmqpFeed
from tickfan.broker.amqp.readback import read_back
from tickfan.broker.amqp.topology import own_queue, prepare_stream
from tickfan.core.errors import TickfanError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Coroutine

    from aiormq.abc import AbstractChannel

    from tickfan.broker.amqp.connection import AmqpOptions, Link
    from tickfan.broker.amqp.outages import Outages
    from tickfan.broker.base import FeedSource, Received, Sink

STUCK_PROBES = 3
"""Probes in a row that see messages waiting while none is received."""
READ_BACK_MAX_S = 60.0
"""After so long the feed goes live without the rest of its past."""
CRASHES_MAX = 2
"""Reading back ends with the connection if RabbitMQ cannot deliver a message. Then it is left."""
MARGIN_S = 2.0
"""Read back beyond what is known to have been received: queues and streams lag."""


class ConflatedFeed(AmqpFeed):
    """Live from an exclusive queue with a new name for each attachment.

    A name that is used again would have to wait until the broker has noticed
    the death of the connection that owned it.

    With ``warm`` there are three steps. The queue is consumed, and its messages are held.
    The stream is read to the tail that it has by then. What was held is let go, without
    what the stream has given already. So a channel ends at its newest value and never goes
    back, as long as each channel has one publisher.

    At the first attach the past comes as it is read. Later, when values have been shown,
    only what the outage may have hidden is read, and the newest of each routing key is
    handed over when all is read. A stream that cannot be read is named (``why``, log), and
    the feed goes live without it: fresh values come first.
    """

    def __init__(
        self,
        source: FeedSource,
        sink: Sink,
        options: AmqpOptions,
        outages: Outages | None = None,
    ) -> None:
        super().__init__(source, sink, options, outages)
        self._queue = ""
        self._stuck = 0
        self._seen = 0
        # Messages that wait for the past, at most the prefetch; None: none do.
        self._held: list[Received] | None = None
        # Fingerprints that the stream has given and the queue may give again.
        self._told: Counter[str] | None = None
        self._drained = False
        # The past, when it must not be seen passing by: newest of each key.
        self._past: dict[str | int, Received] | None = None
        # Whatever was published before this has been received; None: unknown.
        self._whole_until: float | None = None
        self._is_whole = False
        self._has_stream = self._binds_stream = False
        # RabbitMQ has failed while the stream was read: so often, one after the other.
        self._is_reading_back = False
        self._crashes = 0
        if source.warm:
            self.attach_timeout_s = ATTACH_TIMEOUT_S + READ_BACK_MAX_S

    async def attach(self, link: Link) -> None:
        """Make the queue and consume it; what is published from now on comes."""
        source = self.source
        consumer = await self.new_consumer(link)
        await self.watch.begin(link)
        self._stuck = 0
        self._drained = self._is_whole = self._has_stream = False
        self._held = self._told = self._past = None
        why = ""
        if source.warm:
            # Bound before the queue: what is not in the one is in the other.
            why = await self._try_warm(link, self._make_stream(link))
            self._has_stream = not why
            if self._crashes >= CRASHES_MAX:
                self._crashes = 0  # the next attach tries again
                why = (
                    f"without the values of the last {source.warm}: RabbitMQ cannot deliver a "
                    f"message of stream {source.queue!r}"
                )
            self._held = None if why else []
        self._queue = await own_queue(consumer.channel, source)
        await consumer.attach(self._queue)
        if self._held is not None:
            why = await self._try_warm(link, self._read_back(link, source.warm or ""))
            consumer.raise_if_lost()
            if why:
                self._past = None  # half of it may be older than what was shown
            self._let_go()
        if source.warm and self.watch.was_lost and not why:
            why = "what was published while the exchange was gone has not come"
        self.watch.was_lost = False
        self.live(why)

    async def check(self, link: Link, channel: AbstractChannel, consumer: Consumer) -> None:
        """The queue must exist, have its consumer, and be emptied by it."""
        del link
        if self._has_stream:
            await channel.queue_declare(self.source.queue, passive=True)
        now = asyncio.get_running_loop().time()
        answer = await channel.queue_declare(self._queue, passive=True)
        if not answer.consumer_count:
            raise ConsumerLost("the broker has lost the consumer")
        is_silent = self.received == self._seen and not consumer.is_amid
        waits = bool(answer.message_count) and is_silent
        self._stuck = self._stuck + 1 if waits else 0
        self._seen = self.received
        if self._stuck >= STUCK_PROBES:
            raise ConsumerLost("messages wait, but the consumer receives none")
        if not answer.message_count:
            if self._drained:  # by the check before: what was on its way has come
                self._told = None
            self._drained = True
            if self._is_whole:
                self._whole_until = now

    def bound_queues(self) -> tuple[str, ...]:
        """Its own, and the warm stream where we may bind it."""
        if self._has_stream and self._binds_stream:
            return self._queue, self.source.queue
        return (self._queue,)

    def handle(self, message: Received) -> None:
        """Hand it over, unless it is to wait or has come by the stream."""
        if self._held is not None:
            self._held.append(message)
            return
        if self._told:
            fingerprint = message.fingerprint()
            if self._told[fingerprint]:
                self._told[fingerprint] -= 1
                self.received += 1
                return
        self.hand_over(message)

    async def _try_warm(self, link: Link, work: Coroutine[None, None, None]) -> str:
        """Do this for the warm stream; what is wrong with it is no reason to wait."""
        try:
            async with asyncio.timeout(READ_BACK_MAX_S):
                await work
        except (TickfanError, AMQPError, TimeoutError) as error:
            raise_if_cancelled()
            if link.is_lost:
                raise
            return f"without the values of the last {self.source.warm}: {reason(error)}"
        return ""

    async def _make_stream(self, link: Link) -> None:
        self._binds_stream = await prepare_stream(
            link.channel, self.source, declare=self._options.may_make("streams")
        )

    async def _read_back(self, link: Link, since: str) -> None:
        now = asyncio.get_running_loop().time()
        if self._whole_until is not None:
            since = f"{math.ceil(now - self._whole_until + MARGIN_S)}s"
        self._past = {} if self.received else None
        self._is_reading_back = True
        self._told = await read_back(link, self.source, since, self._take)
        self._is_whole = True
        self._whole_until = now
        self._is_reading_back, self._crashes = False, 0

    def cut(self, why: str, *, is_crash: bool = False) -> None:
        """As the base says; at a crash a message of the stream is suspected."""
        if is_crash and self._is_reading_back:
            self._crashes += 1
        self._is_reading_back = False
        super().cut(why, is_crash=is_crash)

    def _take(self, message: Received) -> None:
        """One message of the past."""
        if self._past is None:
            self.hand_over(message)
            return
        self.received += 1
        # A batch may hold any channels, so one does not replace another.
        key = self.received if message.batch else message.routing_key
        self._past.pop(key, None)
        self._past[key] = message

    def _let_go(self) -> None:
        """Hand over what has waited: the past, then what came in meanwhile."""
        past, self._past = self._past or {}, None
        held, self._held = self._held or [], None
        for message in past.values():
            self.hand_over(message)
        for message in held:
            self.handle(message)
