"""The broker over AMQP: a supervised connection for each feed, and one that publishes.

Must not know what the sink does.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, NoReturn

from tickfan.broker.amqp.classic import ConflatedFeed
from tickfan.broker.amqp.incoming import TURN_S
from tickfan.broker.amqp.outages import Outages
from tickfan.broker.amqp.publisher import Publisher
from tickfan.broker.amqp.stream import LosslessFeed
from tickfan.broker.amqp.supervisor import Supervisor
from tickfan.broker.base import Health
from tickfan.clock import Clock
from tickfan.core.errors import TickfanError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickfan.broker.amqp.connection import AmqpOptions
    from tickfan.broker.amqp.feed import AmqpFeed
    from tickfan.broker.base import FeedSource, Message, Sink


class AmqpBroker:
    """A :class:`tickfan.broker.base.Broker` over RabbitMQ.

    ``sink`` None makes it a publisher only, which also makes the feeds' streams
    (``options.declare``), so that nothing is lost before the first replica.
    """

    def __init__(
        self, sources: Sequence[FeedSource], sink: Sink | None, options: AmqpOptions
    ) -> None:
        self.options = options  # to be looked at, not to be changed
        self._publisher = Publisher(
            {source.spec.name: source for source in sources}, options, is_alone=sink is None
        )
        self.feeds: list[AmqpFeed] = []
        self._outages = Outages([source.spec.name for source in sources], Clock(monotonic))
        if sink is not None:
            self.feeds = [
                (LosslessFeed if source.spec.is_lossless else ConflatedFeed)(
                    source, sink, options, self._outages
                )
                for source in sources
            ]

    async def run(self) -> NoReturn:
        """See :meth:`tickfan.broker.base.Broker.run`."""
        if not self.feeds:
            raise TickfanError("this broker was made without a sink: it can only publish")
        # All feeds together may hold the loop for no longer than one could.
        turn_s = TURN_S / len(self.feeds)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._outages.run())
            for feed in self.feeds:
                group.create_task(Supervisor(feed, self.options, turn_s).run())
        raise AssertionError("no supervisor ends by itself")

    async def publish(self, feed: str, message: Message) -> None:
        """See :meth:`tickfan.broker.base.Broker.publish`."""
        await self._publisher.publish(feed, message)

    def health(self) -> Health:
        """See :meth:`tickfan.broker.base.Broker.health`."""
        return Health(
            is_blocked=self._publisher.is_blocked,
            unbound={feed.name: feed.watch.losses for feed in self.feeds},
            causes=self._outages.causes(),
        )

    async def close(self) -> None:
        """See :meth:`tickfan.broker.base.Broker.close`."""
        await self._publisher.close()
