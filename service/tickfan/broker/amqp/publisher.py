"""Publishing with confirms, over a connection of its own.

While RabbitMQ is short of memory or disk, it blocks a connection that publishes. A blocked
connection must not stop the consumers. Must not know consumers or sinks.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiormq.exceptions import DeliveryError
from aiormq.exceptions import PublishError as Returned
from pamqp.commands import Basic

from tickfan.broker.amqp.causes import reason
from tickfan.broker.amqp.connection import Hosts
from tickfan.broker.amqp.topology import prepare_exchange, prepare_stream
from tickfan.broker.base import (
    BrokerBlocked,
    BrokerDown,
    MessageIds,
    TopologyError,
    Unanswered,
    Unconfirmed,
    Unroutable,
    check_routing_key,
    find_source,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiormq.abc import AbstractChannel
    from pamqp.common import FieldTable

    from tickfan.broker.amqp.connection import AmqpOptions, Link
    from tickfan.broker.base import FeedSource, Message

RETRY_AFTER_S = 0.5
"""After a failure to connect, publishing is refused at once for so long."""


class Publisher:
    """Publishes to the feeds' exchanges; opens its connection on first use.

    Messages leave in the order of the calls, also of those that had to wait for a
    connection. ``is_alone``: nobody here consumes, so the streams may not exist yet. They
    are made with the exchanges (``declare``), so that nothing is lost which is published
    before the first replica has started.
    """

    def __init__(
        self, sources: Mapping[str, FeedSource], options: AmqpOptions, *, is_alone: bool
    ) -> None:
        self._sources = sources
        self._options = options
        self._makes_streams = is_alone and options.may_make("streams")
        self._hosts = Hosts(options, "publisher")
        self._ids = MessageIds()
        self._opening = asyncio.Lock()
        # Calls that wait for the connection, or for their turn after it. A later call must
        # not pass them.
        self.waiting = 0
        self._link: Link | None = None
        self._channel: AbstractChannel | None = None
        self._down_until = 0.0
        self._down_why = ""
        self._confirmed = 0

    @property
    def is_open(self) -> bool:
        """Whether there is a channel to publish on."""
        return self._channel is not None and not self._channel.is_closed

    async def publish(self, feed: str, message: Message) -> None:
        """See :meth:`tickfan.broker.base.Broker.publish`."""
        source = find_source(self._sources, feed)
        check_routing_key(message)
        channel = self._channel
        if channel is None or channel.is_closed or self.waiting:
            channel = await self._open()
        link = self._link
        if link is not None and link.blocked:
            raise BrokerBlocked(f"RabbitMQ takes no messages now: {link.blocked}")
        confirmed = self._confirmed
        try:
            await channel.basic_publish(
                message.body,
                exchange=source.exchange,
                routing_key=message.routing_key,
                properties=self._properties(source, message),
                mandatory=True,
                timeout=self._options.publish_timeout_s,
                # A confirm is awaited anyway: no drain, under a lock, for each message.
                wait=False,  # type: ignore[call-arg]
            )
        except Returned:
            self._confirmed += 1
            raise Unroutable(
                f"no queue is bound to exchange {source.exchange!r} for {message.routing_key!r}: "
                f"{self._hint(source)}"
            ) from None
        except DeliveryError as error:
            raise Unconfirmed(f"the broker refused the message: {error}") from error
        except TimeoutError:
            if link is not None and link.blocked:
                raise BrokerBlocked(
                    f"RabbitMQ takes no messages now: {link.blocked}. This one was under way and "
                    "may still be published"
                ) from None
            if self._confirmed == confirmed:
                # Nothing at all was confirmed meanwhile: the connection may
                # be half-open, and the next message shall not wait for it.
                await self._drop(channel)
            raise Unanswered(
                f"no confirm within publish_timeout_s ({self._options.publish_timeout_s:g})"
            ) from None
        except Exception as error:
            # A dying channel ends every call in flight, with any error.
            raise Unanswered(f"lost the broker before its confirm: {reason(error)}") from error
        self._confirmed += 1

    @property
    def is_blocked(self) -> bool:
        """Whether RabbitMQ takes no messages now, as far as is known: it says so on publishing."""
        return self._link is not None and not self._link.is_lost and bool(self._link.blocked)

    async def close(self) -> None:
        """Close the connection if there is one. Idempotent."""
        async with self._opening:
            link, self._link, self._channel = self._link, None, None
            if link is not None:
                await link.close()

    def _hint(self, source: FeedSource) -> str:
        """What to look at where no queue is bound."""
        if not source.spec.is_lossless or self._options.may_make("streams"):
            return "is a replica with this feed running?"
        return f"bind stream {source.queue!r} to it, as broker.declare leaves streams out"

    def _properties(self, source: FeedSource, message: Message) -> Basic.Properties:
        headers: FieldTable = {}
        if message.ts is not None:
            headers["ts"] = message.ts
        if message.batch:
            headers["batch"] = True
        return Basic.Properties(
            content_type=message.content_type,
            message_type=message.type,
            message_id=message.message_id or self._ids.next(),
            app_id=message.app_id,
            headers=headers or None,
            delivery_mode=2 if source.spec.is_lossless else 1,
        )

    async def _open(self) -> AbstractChannel:
        """The channel, opened if need be, to each caller in its turn.

        A lock wakes its waiters in their order, and the one that leaves it
        writes its message before the next one runs. Raises :class:`BrokerDown`.
        """
        self.waiting += 1
        try:
            async with self._opening:
                if self._channel is None or self._channel.is_closed:
                    self._channel = await self._open_in_time()
                return self._channel
        finally:
            self.waiting -= 1

    async def _open_in_time(self) -> AbstractChannel:
        loop = asyncio.get_running_loop()
        if loop.time() < self._down_until:
            raise BrokerDown(self._down_why)
        try:
            async with asyncio.timeout(self._options.publish_timeout_s):
                return await self._open_channel()
        except Exception as error:
            self._down_until = loop.time() + RETRY_AFTER_S
            self._down_why = f"no connection to the broker: {reason(error)}"
            if isinstance(error, TopologyError):
                self._down_why = str(error)
            raise BrokerDown(self._down_why) from error

    async def _open_channel(self) -> AbstractChannel:
        if self._link is None or self._link.is_lost:
            if self._link is not None:
                await self._link.close()
            self._link = await self._hosts.dial()
        for exchange in {source.exchange for source in self._sources.values()}:
            await prepare_exchange(
                self._link.channel, exchange, declare=self._options.may_make("exchange")
            )
        if self._makes_streams:
            for source in self._sources.values():
                if source.queue:
                    await prepare_stream(self._link.channel, source, declare=True)
        return await self._link.channel(confirms=True)

    async def _drop(self, channel: AbstractChannel) -> None:
        async with self._opening:
            link = self._link
            if link is None or channel is not self._channel:
                return
            self._link = self._channel = None
            link.abort("no confirm came")
            await link.close()
