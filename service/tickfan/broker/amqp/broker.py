"""The broker over AMQP: one supervised connection that consumes every feed.

It is a plain connection under a supervisor of ours, and not aio-pika's robust one. After a
cut the robust one consumes again with its first arguments, which repeats or loses messages
of a stream. Must not know what the sink does.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NoReturn

import structlog

from tickfan.broker.amqp.classic import ConflatedFeed
from tickfan.broker.amqp.connection import (
    Backoff,
    Hosts,
    LinkLost,
    answer,
    raise_if_cancelled,
    reason,
)
from tickfan.broker.amqp.publisher import Publisher
from tickfan.broker.amqp.stream import LosslessFeed
from tickfan.broker.base import Health
from tickfan.core.errors import TickfanError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from aiormq.abc import AbstractChannel

    from tickfan.broker.amqp.connection import AmqpOptions, Link
    from tickfan.broker.amqp.feed import AmqpFeed
    from tickfan.broker.base import FeedSource, Message, Sink

_log = structlog.get_logger()


class AmqpBroker:
    """A :class:`tickfan.broker.base.Broker` over RabbitMQ.

    ``sink`` None makes it a publisher only, which also makes the feeds' streams
    (``options.declare``), so that nothing is lost before the first replica.
    """

    def __init__(
        self, sources: Sequence[FeedSource], sink: Sink | None, options: AmqpOptions
    ) -> None:
        self.options = options  # to be looked at, not to be changed
        self._hosts = Hosts(options, "consumer")
        self._publisher = Publisher(
            {source.spec.name: source for source in sources}, options, is_alone=sink is None
        )
        self.feeds: list[AmqpFeed] = []
        if sink is not None:
            self.feeds = [
                (LosslessFeed if source.spec.is_lossless else ConflatedFeed)(source, sink, options)
                for source in sources
            ]

    async def run(self) -> NoReturn:
        """See :meth:`tickfan.broker.base.Broker.run`."""
        if not self.feeds:
            raise TickfanError("this broker was made without a sink: it can only publish")
        loop = asyncio.get_running_loop()
        backoff = Backoff(self.options)
        while True:
            try:
                link = await self._hosts.dial()
            except LinkLost as lost:
                for feed in self.feeds:
                    feed.down(str(lost))
                await asyncio.sleep(backoff.next())
                continue
            began = loop.time()
            await self._use(link)
            await asyncio.sleep(backoff.after(loop.time() - began))

    async def publish(self, feed: str, message: Message) -> None:
        """See :meth:`tickfan.broker.base.Broker.publish`."""
        await self._publisher.publish(feed, message)

    def health(self) -> Health:
        """See :meth:`tickfan.broker.base.Broker.health`."""
        return Health(unbound={feed.name: feed.watch.losses for feed in self.feeds})

    async def close(self) -> None:
        """See :meth:`tickfan.broker.base.Broker.close`."""
        await self._publisher.close()

    async def _use(self, link: Link) -> None:
        """Consume over this connection until it is lost or we are cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch(link))
                group.create_task(self._probe(link))
                for feed in self.feeds:
                    group.create_task(feed.serve(link))
                    group.create_task(feed.guard(link))
        except* LinkLost as lost:
            _log.warning("connection lost", why=str(lost.exceptions[0]))
        finally:
            await link.close()

    async def _watch(self, link: Link) -> NoReturn:
        """Tell at once when the connection is lost, and end its use.

        This is the only task that does so. The others just stop, so that nothing is torn
        down before it is told.
        """
        why = await link.gone()
        for feed in self.feeds:
            feed.cut(why)
        raise LinkLost(why)

    async def _probe(self, link: Link) -> None:
        """Ask the peer something harmless each second: a dead one says nothing.

        AMQP's own heartbeat takes up to three times 25 s to notice.
        """
        channel: AbstractChannel | None = None
        while not link.is_lost:
            try:
                if channel is None:
                    channel = await self._answer(link, link.channel())
                await self._answer(link, channel.basic_qos(prefetch_count=0))
            except LinkLost as lost:
                link.abort(str(lost))
            except Exception as error:  # noqa: BLE001 - a dying link ends calls with any error
                raise_if_cancelled()
                _log.debug("probe failed", why=reason(error))
                channel = None
            await asyncio.sleep(self.options.probe_interval_s)

    async def _answer(self, link: Link, call: Coroutine[Any, Any, Any]) -> Any:
        return await answer(call, self.options.probe_timeout_s, lambda: link.incoming.taken)
