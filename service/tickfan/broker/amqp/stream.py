"""A lossless feed over AMQP: a stream read by offset, resumed inclusively.

RabbitMQ keeps no place for an AMQP 0-9-1 reader of a stream. It does not say when a reader
has caught up, and it is silent for ever when it is asked for an offset past the end. So the
tail is learned before each attach. A reader that resumes asks for the last message that it
has seen, and demands that same message back. So a stream that was deleted and made again
cannot be taken for the old one. (It can, if its publishers give neither message ids nor
times and publish the same bytes again; then it is the same to each reader, too.)

Retention does not wait for a reader. A reader that retention overtakes is not told: its
next message simply stands further on. Offsets have holes by themselves, so a hole proves
nothing. But retention drops from the front only. So at a hole the reader attaches again at
the message before it. If that message still stands, nothing after it has been dropped.

Must not know other replicas, nor what the sink does with a message.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tickfan.broker.amqp.consumer import Consumer, ConsumerLost
from tickfan.broker.amqp.feed import AmqpFeed
from tickfan.broker.amqp.properties import OFFSET_HEADER
from tickfan.broker.amqp.tail import EMPTY_AFTER_S, Seen, find_tail
from tickfan.broker.amqp.topology import not_a_stream, prepare_stream

if TYPE_CHECKING:
    from aiormq.abc import AbstractChannel

    from tickfan.broker.amqp.connection import AmqpOptions, Link
    from tickfan.broker.base import FeedSource, Received, Sink

WARM_WITHIN_S = 2.0
FIRST_WITHIN_S = 3.0
SILENCES_MAX = 2


UNBOUND = "unbound"
"""A reset: the exchange was gone, and what was published meanwhile is not in the stream."""


class Changed(ConsumerLost):
    """The stream is not the one that was read, or lost what was not read yet."""

    def __init__(self, word: str) -> None:
        super().__init__(f"the stream was {word}")
        self.word = word


class Silent(ConsumerLost):
    """Nothing came where the stream has messages."""


class Doubt(ConsumerLost):
    """Messages may have been dropped before they were read."""


class WarmTooLate(ConsumerLost):
    """The stretch to read back begins after the tail."""


class LosslessFeed(AmqpFeed):
    """Every message of one stream, each offset once, in order."""

    def __init__(self, source: FeedSource, sink: Sink, options: AmqpOptions) -> None:
        super().__init__(source, sink, options)
        self._last: Seen | None = None
        # The offset of ``_last`` as a plain number, for the hot path.
        self._offset = -1
        # A message this far behind the last one is still no reason for a doubt.
        self._step_max = 1 + options.hole_max
        # The tail at the attach. Live when the target has been delivered; None: it has.
        self._tail = -1
        self._target: int | None = None
        # A reset that is told between the tail and what comes after it.
        self._owed = ""
        # The first message has to be this one (a resume) …
        self._expect: Seen | None = None
        # … or to stand at this offset at most (a warm start).
        self._first_most: int | None = None
        # The hole that a reader has met last: the offsets on both sides of it.
        self._hole: tuple[int, int] | None = None
        # Known to have been empty: whatever is there now has come since.
        self._was_empty = False
        self._silences = 0
        # When the health check last saw the feed move or found it whole, by the loop's clock,
        # and its count then.
        self.heard_at = 0.0
        self._heard = 0

    async def attach(self, link: Link) -> None:
        """Find where to go on, and consume from there."""
        declare = self._options.declare
        consumer = await self.new_consumer(link)
        await self.watch.begin(link)
        if self.watch.was_lost:
            self.watch.was_lost, self._owed = False, UNBOUND
        is_lost = self._owed == UNBOUND
        await prepare_stream(consumer.channel, self.source, declare=declare, binds=not is_lost)
        tail = await find_tail(link, self.source)
        if is_lost:  # what is published from now on comes after the tail, and after the reset
            await prepare_stream(consumer.channel, self.source, declare=declare)
        if self._is_before_last(tail):
            # The broker may have been frozen just now, or the link slow. A new
            # question begins with an answer to something else.
            tail = await find_tail(link, self.source, patience=2)
            if self._is_before_last(tail):
                self._reset("recreated")
        self._tail = tail.offset if tail is not None else -1
        self._target = self._tail
        if is_lost and not declare:
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
        elif self._owed and not declare:
            self.down(
                f"exchange {self.source.exchange!r} was deleted: bind queue "
                f"{self.source.queue!r} to it again. The feed is live with its next message"
            )

    def bound_queues(self) -> tuple[str, ...]:
        """The stream, where we may make it."""
        return (self.source.queue,) if self._options.declare else ()

    async def check(self, link: Link, channel: AbstractChannel, consumer: Consumer) -> None:
        """The queue must exist; if it is quiet, its tail must be what we had last."""
        await channel.queue_declare(self.source.queue, passive=True)
        loop = asyncio.get_running_loop()
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

    def _is_before_last(self, tail: Seen | None) -> bool:
        """Whether a stream with this tail cannot hold the message that was read last."""
        return self._last is not None and (tail is None or tail.offset < self._last.offset)

    async def _resume(self, consumer: Consumer, last: Seen) -> None:
        """Attach at the last message seen and have it confirmed."""
        self._expect = last
        await consumer.attach(self.source.queue, {OFFSET_HEADER: last.offset})
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
            await consumer.attach(self.source.queue, {OFFSET_HEADER: "first"})
            return
        if self.source.warm is not None:
            self._first_most = tail.offset
            await consumer.attach(self.source.queue, {OFFSET_HEADER: self.source.warm})
            try:
                await self._first(consumer, WARM_WITHIN_S)
            except WarmTooLate:
                await consumer.detach()
            else:
                return
            consumer = await self.new_consumer(link)
            self._first_most = None
        await consumer.attach(self.source.queue, {OFFSET_HEADER: tail.offset})
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

    def _reset(self, word: str) -> None:
        """Forget the stream that was, and tell."""
        self.down(f"the stream was {word}")
        self._last = self._hole = None
        self._owed = ""
        self._offset = -1
        self._was_empty = False
        self._silences = 0
        self._sink.reset(self.name, word)

    def handle(self, message: Received) -> None:
        """One message; the hot path."""
        offset = message.offset
        if offset is None:
            self._lose(not_a_stream(self.source))
            return
        if self._first_most is not None:
            if offset > self._first_most:
                self._lose(WarmTooLate("the stream has nothing as old as that"))
                return
            self._first_most = None
        if self._expect is None:
            if offset <= self._offset:
                return
            if offset > self._offset + self._step_max and self._is_doubtful(offset):
                return
        seen = Seen(offset, message.fingerprint())
        if self._expect is not None:
            self._verify(seen, self._expect)
            return
        self._offset = offset
        self._last = seen
        if self._target is not None and offset >= self._target:
            self._arrive(message, seen)
            return
        self.hand_over(message, seen.fingerprint)

    def _arrive(self, message: Received, seen: Seen) -> None:
        """Take the message with which the feed is up to date."""
        self._target = None
        if seen.offset > self._tail:
            self._pay()
        self.hand_over(message, seen.fingerprint)
        self.live()

    def live(self, why: str = "") -> None:
        """As the base says; a reset that is owed comes first."""
        self._pay()
        super().live(why)

    def _pay(self) -> None:
        """Tell the reset that is owed."""
        word, self._owed = self._owed, ""
        if word:
            self._sink.reset(self.name, word)

    def _verify(self, seen: Seen, expected: Seen) -> None:
        """The first message of a resume: the one we had last, or the end."""
        self._expect = None
        if seen != expected:
            self._lose(Changed("recreated" if seen.offset <= expected.offset else "truncated"))

    def _is_doubtful(self, offset: int) -> bool:
        """Whether messages may be missing before this one; ends the consumer if so."""
        last = self._last
        if last is None:
            if self._was_empty:  # it was read from its first message on
                self._reset("truncated")
                self._target = offset
            return False
        hole = (last.offset, offset)
        if hole == self._hole:
            # It was met before, and since then the message before it has been seen to
            # stand: there was nothing in the hole.
            return False
        self._hole = hole
        self._lose(Doubt(f"offsets {last.offset} to {offset}: has retention overtaken the reader?"))
        return True

    def _lose(self, end: Exception) -> None:
        if self.consumer is not None:
            self.consumer.lose(end)
