"""What both kinds of feed share: kept attached, watched, and reported.

Must not know how a conflated or a lossless feed attaches.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

import structlog

from tickfan.broker.amqp.advice import NoCopy
from tickfan.broker.amqp.causes import LOST, cause, reason
from tickfan.broker.amqp.connection import Backoff, raise_if_cancelled
from tickfan.broker.amqp.consumer import Consumer, ConsumerLost
from tickfan.broker.amqp.outages import Outages
from tickfan.broker.amqp.topology import bind
from tickfan.broker.amqp.watch import ExchangeWatch
from tickfan.broker.base import SinkFailures, SourceError
from tickfan.clock import Clock
from tickfan.core.feed import Upstream

if TYPE_CHECKING:
    from aiormq.abc import AbstractChannel

    from tickfan.broker.amqp.connection import AmqpOptions, Link
    from tickfan.broker.base import FeedSource, Received, Sink

ATTACH_TIMEOUT_S = 30.0
BIND_EVERY_S = 3.0
"""A binding that somebody has removed is back after so long.

RabbitMQ says of none whether it is there. To bind again costs it 1 ms for each pattern.
"""
_log = structlog.get_logger()


class AmqpFeed(ABC):
    """One feed over any number of connections, one after the other."""

    def __init__(
        self,
        source: FeedSource,
        sink: Sink,
        options: AmqpOptions,
        outages: Outages | None = None,
    ) -> None:
        """``outages``: what is told in the log of all feeds together."""
        self.source = source
        self.name = source.spec.name
        # The one at work, or being attached; ``_is_attached`` says which.
        self.consumer: Consumer | None = None
        self._is_attached = False
        self.received = 0
        self.attach_timeout_s = ATTACH_TIMEOUT_S
        self._sink = sink
        self._options = options
        self._state = Upstream.STARTING
        self._said: tuple[Upstream, str] | None = None
        self._failures = SinkFailures()
        self._outages = outages or Outages((self.name,), Clock(monotonic))
        self.watch = ExchangeWatch(
            source.exchange,
            may_make=options.may_make("exchange"),
            may_witness=options.may_make("exchange") or options.may_make("witness"),
            warn=partial(self._outages.warn, self.name),
        )

    @property
    def is_stepping(self) -> bool:
        """Whether the connection ends because the feed is finding its way: no wait is due."""
        return False

    async def serve(self, link: Link) -> None:
        """Keep the feed attached over this connection until that is lost.

        What concerns only this feed is reported and tried again: an operator
        may mend it meanwhile.
        """
        backoff = Backoff(self._options)
        loop = asyncio.get_running_loop()
        while not link.is_lost:
            began = loop.time()
            try:
                await self._attach_and_run(link)
            except Exception as error:  # noqa: BLE001
                raise_if_cancelled()
                # A dying link ends every call that is under way, with any error. The
                # supervisor of the link tells of its loss.
                if isinstance(error, NoCopy):
                    link.abort(reason(error))  # the next connection may be to another node
                elif not link.is_lost:
                    self.down(reason(error), cause(error))
            except asyncio.CancelledError as error:
                # aiormq ends the pending calls of a dying channel with this,
                # which is no wish of ours to stop.
                raise_if_cancelled()
                self.down(reason(error), cause(error))
            finally:
                await self._detach(link)
            raise_if_cancelled()
            await asyncio.sleep(backoff.after(loop.time() - began))

    async def guard(self, link: Link) -> None:
        """Look after the exchange, the bindings and the consumer in each probe interval."""
        channel: AbstractChannel | None = None
        loop = asyncio.get_running_loop()
        bound_at = loop.time()
        while not link.is_lost:
            await asyncio.sleep(self._options.probe_interval_s)
            consumer = self.consumer
            if consumer is None or consumer.is_lost or not self._is_attached:
                continue
            try:
                if channel is None or channel.is_closed:
                    channel = await link.channel()
                await self.watch.check(channel)
                if loop.time() - bound_at >= BIND_EVERY_S:
                    bound_at = loop.time()
                    for queue in self.bound_queues():
                        await bind(channel, self.source, queue)
                await self.check(link, channel, consumer)
            except Exception as error:  # noqa: BLE001 - as above
                raise_if_cancelled()
                consumer.lose(ConsumerLost(reason(error), cause(error)))

    @abstractmethod
    async def attach(self, link: Link) -> None:
        """Make what the feed needs and begin to consume."""

    @abstractmethod
    async def check(self, link: Link, channel: AbstractChannel, consumer: Consumer) -> None:
        """Raise if the broker does not have this consumer any more, or it is silent."""

    @abstractmethod
    def bound_queues(self) -> tuple[str, ...]:
        """The queues whose bindings are ours to look after."""

    @abstractmethod
    def handle(self, message: Received) -> None:
        """Take one message from the consumer; never waits."""

    async def new_consumer(self, link: Link, prefetch: int | None = None) -> Consumer:
        """A consumer for this feed, on a channel of its own, not attached yet.

        ``prefetch`` in messages, if not the feed's.
        """
        self.consumer = Consumer(
            await link.channel(), link.incoming, prefetch or self.source.prefetch, self.handle
        )
        return self.consumer

    def live(self, why: str = "") -> None:
        """Report that the feed is read up to date; ``why`` names what is missing yet."""
        self._state = Upstream.LIVE
        self._tell(why)

    def down(self, why: str, cause: str = SourceError.cause) -> None:
        """Report, once for each change, that the feed is not read, and why.

        ``cause`` is the same in a few words (:class:`SourceError`).
        """
        if self._state is Upstream.LIVE:
            self._state = Upstream.STALE
        self._tell(why, cause)

    def cut(self, why: str, *, is_crash: bool = False) -> None:
        """Take the loss of the connection: what still lies in its buffers is not read.

        ``is_crash``: RabbitMQ has closed it for an error of its own.
        """
        if self.consumer is not None:
            self.consumer.lose(ConsumerLost(why))
        self.down(why, "RabbitMQ failed" if is_crash else LOST)

    def _tell(self, why: str, cause: str = "") -> None:
        if self._said == (self._state, why):
            return
        self._said = (self._state, why)
        if self._state is not Upstream.LIVE:
            self._outages.down(self.name, cause, why)
        else:
            self._outages.up(self.name)
            if why:
                self._outages.warn(self.name, why)
        self._sink.upstream(self.name, self._state, why)

    def hand_over(self, message: Received, fingerprint: str | None = None) -> None:
        """Give the sink one message; a sink that raises must not stop the acks."""
        self.received += 1
        try:
            self._sink.deliver(self.name, message, fingerprint)
        except Exception as error:  # noqa: BLE001 - counted and logged
            self._failures.note(self.name, error)

    async def _attach_and_run(self, link: Link) -> None:
        async with asyncio.timeout(self.attach_timeout_s):
            await self.attach(link)
        assert self.consumer is not None
        self._is_attached = True
        await self.consumer.run()

    async def _detach(self, link: Link) -> None:
        self._is_attached = False
        consumer, self.consumer = self.consumer, None
        if consumer is None:
            return
        if link.is_lost:
            consumer.lose(ConsumerLost("the connection is lost"))
        else:
            await consumer.detach()
