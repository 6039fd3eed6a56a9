"""A lossless feed over AMQP: a stream read by offset, resumed inclusively.

RabbitMQ keeps no place for an AMQP 0-9-1 reader of a stream. It does not say when a reader
has caught up, and it is silent for ever when it is asked for an offset past the end. So the
tail is learned before each attach. A reader that resumes asks for the last message that it
has seen, and demands that same message back. So a stream that was deleted and made again
cannot be taken for the old one. (It can, if its publishers give neither message ids nor
times and publish the same bytes again; then it is the same to each reader, too.)

Must not know other replicas, nor what the sink does with a message.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from tickfan.broker.amqp.consumer import Consumer, ConsumerLost
from tickfan.broker.amqp.reading import Changed, StreamReader, WarmTooLate
from tickfan.broker.amqp.tail import EMPTY_AFTER_S, Seen, find_tail
from tickfan.broker.amqp.topology import prepare_stream
from tickfan.broker.base import FIRST
from tickfan.core.feed import Upstream

if TYPE_CHECKING:
    from aiormq.abc import AbstractChannel

    from tickfan.broker.amqp.connection import AmqpOptions, Link
    from tickfan.broker.amqp.outages import Outages
    from tickfan.broker.base import FeedSource, Sink

_log = structlog.get_logger()
WARM_WITHIN_S = 2.0
FIRST_WITHIN_S = 3.0
SILENCES_MAX = 2
UNBOUND = "unbound"
"""A reset: the exchange was gone, and what was published meanwhile is not in the stream."""
UNDELIVERABLE = "undeliverable"
"""A reset: RabbitMQ cannot deliver a message, nor what it has read together with it."""
PAUSE_S = 0.2
PAUSES_MAX = 25
"""A feed is live after a pause of PAUSE_S, or so many of them, where the tail is not asked for."""


class Silent(ConsumerLost):
    """Nothing came where the stream has messages."""


class LosslessFeed(StreamReader):
    """Every message of one stream, each offset once, in order."""

    def __init__(
        self,
        source: FeedSource,
        sink: Sink,
        options: AmqpOptions,
        outages: Outages | None = None,
    ) -> None:
        super().__init__(source, sink, options, outages)
        # Whether its bindings are ours to look after.
        self._binds = False
        # Whether messages have been asked for: before that RabbitMQ fails at something else,
        # such as two replicas that declare the same at once.
        self.has_asked = False
        # Whether it is a message that RabbitMQ fails at, if it fails now.
        self.is_reading = False
        # When the health check last saw the feed move or found it whole, by the loop's clock,
        # and its count then.
        self.heard_at = 0.0
        self._heard = 0

    async def attach(self, link: Link) -> None:
        """Find where to go on, and consume from there."""
        self.has_asked = False
        declare = self._options.may_make("streams")
        consumer = await self.new_consumer(link)
        await self.watch.begin(link)
        if self.watch.was_lost:
            self.watch.was_lost, self._owed = False, UNBOUND
        is_lost = self._owed == UNBOUND
        is_near = self.obstacle.is_near
        self._binds = await prepare_stream(
            link.channel, self.source, declare=declare, binds=is_near or not is_lost
        )
        self.has_asked = True
        if is_near:
            await consumer.detach()
            await self._attach_directly(link)
            return
        tail = await self._newest(link)
        if is_lost:  # what is published from now on comes after the tail, and after the reset
            self._binds = await prepare_stream(link.channel, self.source, declare=declare)
        if self._is_before_last(tail):
            # The broker may have been frozen just now, or the link slow. A new
            # question begins with an answer to something else.
            tail = await find_tail(link, self.source, patience=2)
            if self._is_before_last(tail):
                self._reset("recreated")
        self._tail = tail.offset if tail is not None else -1
        self._target = self._tail
        if is_lost and not self._binds:
            # Nobody tells when the queue is bound again: only its next message does.
            self._target += 1
        self._expect = self._first_most = None
        self.heard_at = asyncio.get_running_loop().time()
        if self._last is not None:
            await self._resume(consumer, self._last)
        else:
            await self._start(link, consumer, tail)
        if self._target is not None and self._offset >= self._target:
            self._target = None
            self.live()
        elif is_lost and not self._binds:
            self.down(
                f"exchange {self.source.exchange!r} was deleted: bind queue "
                f"{self.source.queue!r} to it again. The feed is live with its next message",
                "a stream is not bound",
            )

    def bound_queues(self) -> tuple[str, ...]:
        """The stream, where we may bind it."""
        return (self.source.queue,) if self._binds else ()

    async def check(self, link: Link, channel: AbstractChannel, consumer: Consumer) -> None:
        """The queue must exist; if it is quiet, its tail must be what we had last."""
        await channel.queue_declare(self.source.queue, passive=True)
        loop = asyncio.get_running_loop()
        if self.obstacle.is_near:
            if self.obstacle.is_passed(loop.time(), self.received):
                raise ConsumerLost("past what RabbitMQ cannot deliver: reading on as usual")
            return
        if self.received != self._heard or consumer.is_amid:
            self._heard, self.heard_at = self.received, loop.time()
        if loop.time() - self.heard_at < self._options.quiet_s:
            return
        before = self._last
        tail = await find_tail(link, self.source)
        if tail != before:
            # It may be on its way to us right now.
            await asyncio.sleep(EMPTY_AFTER_S)
        if tail != before and self._last == before and not consumer.is_lost:
            raise ConsumerLost("the stream has gone on, but the consumer receives nothing")
        self.heard_at = loop.time()

    def cut(self, why: str, *, is_crash: bool = False) -> None:
        """As the base says; at a crash a message of the stream is suspected."""
        if is_crash and self.has_asked:
            where = f"Stream {self.source.queue!r}, after offset {self._offset}"
            if self.is_reading:
                self.obstacle.hit(self._offset)
                where = f"{where}, try {self.obstacle.tries + 1}"
            self.obstacle.is_near = True
            why = (
                f"{why}: RabbitMQ is ill, or at a message that it cannot deliver over "
                f"AMQP 0.9.1. {where}"
            )
        self.is_reading = False
        super().cut(why, is_crash=is_crash)

    @property
    def is_stepping(self) -> bool:
        """While it steps over what cannot be delivered: each step costs a connection."""
        return self.obstacle.is_near and self.obstacle.step(self._offset) > 0

    async def _attach_directly(self, link: Link) -> None:
        """Attach where a message may stand that RabbitMQ cannot deliver.

        Without a look at the tail, where such a message may be, and with a prefetch of one:
        RabbitMQ delivers nothing of what it has read together with it.
        """
        await (await self._consume(link, "next")).detach()
        # Consuming works. If RabbitMQ fails from here on, it is at a message.
        self.is_reading = True
        step, last = self.obstacle.step(self._offset), self._last
        self._expect = self._first_most = self._target = None
        if last is not None and not step:
            consumer = await self.new_consumer(link, prefetch=1)
            await self._resume(consumer, last)
        elif self._offset < 0 and not step:
            start = "first" if self._was_empty else self.source.warm or "next"
            if start == "next" and self._state is not Upstream.STARTING:
                # It was live without a message. What has come since nobody can tell.
                self._expect_after(self._offset)
            consumer = await self._consume(link, start)
        else:
            consumer = await self._step_over(link, step)
        for _ in range(PAUSES_MAX):
            seen = consumer.received
            await consumer.ack()
            await asyncio.sleep(PAUSE_S)
            consumer.raise_if_lost()
            if consumer.received == seen and not consumer.is_amid:
                break
        self.obstacle.attached(asyncio.get_running_loop().time())
        self.live()

    async def _step_over(self, link: Link, step: int) -> Consumer:
        """Go on ``step`` offsets after the next one, or with what is published from now on."""
        _log.warning(
            "stepping over messages that RabbitMQ cannot deliver",
            feed=self.name,
            stream=self.source.queue,
            after_offset=self._offset,
            step=step,
        )
        self._expect_after(self._offset)
        if self._offset >= 0 and step:
            consumer = await self._consume(link, self._offset + 1 + step)
            if await consumer.has_begun(EMPTY_AFTER_S):
                return consumer
            # Past the end. RabbitMQ would keep back what comes before the offset asked for.
            await consumer.detach()
        if self._last is None:
            return await self._consume(link, "next")
        consumer = await self.new_consumer(link, prefetch=1)
        await self._resume(consumer, self._last)
        return consumer

    def _expect_after(self, offset: int) -> None:
        """Whatever comes next may stand anywhere after ``offset``, and a reset before it."""
        self._owed, self._last, self._hole = self._owed or UNDELIVERABLE, None, None
        self._was_empty = False
        self._tail, self._target = offset, offset + 1

    async def _consume(self, link: Link, where: int | str) -> Consumer:
        consumer = await self.new_consumer(link, prefetch=1)
        await consumer.read(self.source, where)
        return consumer

    async def _newest(self, link: Link) -> Seen | None:
        """The newest message. Where nothing may be overlooked, silence is not believed at once."""
        tail = await find_tail(link, self.source)
        if tail is None and self.source.warm == FIRST:
            tail = await find_tail(link, self.source)
        return tail

    def _is_before_last(self, tail: Seen | None) -> bool:
        """Whether a stream with this tail cannot hold the message that was read last."""
        return self._last is not None and (tail is None or tail.offset < self._last.offset)

    async def _resume(self, consumer: Consumer, last: Seen) -> None:
        """Attach at the last message seen and have it confirmed."""
        self._expect = last
        await consumer.read(self.source, last.offset)
        try:
            await self._first(consumer)
        except Changed as change:
            self._reset(change.word)
            raise
        except Silent:
            self._silences += 1
            if self._silences >= SILENCES_MAX:
                self._reset("recreated")
            raise
        self._silences = 0

    async def _start(self, link: Link, consumer: Consumer, tail: Seen | None) -> None:
        """Attach afresh: at ``warm`` or the tail, whichever comes first."""
        if tail is None or self._was_empty:
            # "first" and not the tail: what comes between must not be lost.
            self._was_empty = True
            await consumer.read(self.source, "first")
            return
        if self.source.warm == FIRST:  # nothing younger will do in its place
            await consumer.read(self.source, FIRST)
            await self._first(consumer)
            return
        if self.source.warm is not None:
            self._first_most = tail.offset
            await consumer.read(self.source, self.source.warm)
            try:
                await self._first(consumer, WARM_WITHIN_S)
            except WarmTooLate:
                await consumer.detach()
            else:
                return
            consumer = await self.new_consumer(link)
            self._first_most = None
        await consumer.read(self.source, tail.offset)
        await self._first(consumer)

    async def _first(self, consumer: Consumer, within_s: float = FIRST_WITHIN_S) -> None:
        """Wait for the first message; raise the consumer's end if it was refused."""
        if not await consumer.has_begun(within_s):
            consumer.lose(
                Silent("the stream is silent where it has messages")
                if self._first_most is None
                else WarmTooLate("nothing is as young as that")
            )
        consumer.raise_if_lost()
