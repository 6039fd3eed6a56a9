"""One consumer on one AMQP channel: it hands over and acks, and it says why it ended.

Must not know what a feed promises; that is :mod:`.classic` and :mod:`.stream`.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
from aiormq.exceptions import AMQPError, ChannelPreconditionFailed

from tickfan.broker.amqp.advice import refused
from tickfan.broker.amqp.connection import raise_if_cancelled
from tickfan.broker.amqp.properties import OFFSET_HEADER
from tickfan.broker.base import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiormq.abc import AbstractChannel, DeliveredMessage
    from pamqp.commands import Basic
    from pamqp.common import FieldTable

    from tickfan.broker.amqp.incoming import Incoming
    from tickfan.broker.base import FeedSource, Received

ACK_EVERY_MAX = 200
ACK_TICK_S = 0.2
DETACH_TIMEOUT_S = 1.0
_log = structlog.get_logger()


class ConsumerLost(SourceError):
    """The consumer gets nothing any more; the text says why."""

    cause = "consumer lost"


class Consumer:
    """Takes messages off a queue, in order, and acks them in batches.

    ``handle`` is called for each message when its bytes arrive (see :mod:`.incoming`); it
    must not wait. :meth:`run` alone writes acks, since two acks out of order would close the
    channel. A tick acks the tail of a quiet feed: a message that is not acked takes a piece
    of the prefetch for good.
    """

    def __init__(
        self,
        channel: AbstractChannel,
        incoming: Incoming,
        prefetch: int,
        handle: Callable[[Received], None],
    ) -> None:
        self.channel = channel
        self.received = 0
        self.tag = ""
        self.first = asyncio.Event()
        self._incoming = incoming
        self._prefetch = prefetch
        self._handle = handle
        self._ack_every = max(1, min(ACK_EVERY_MAX, prefetch // 4))
        self._ack_at = self._ack_every
        self.acked = 0  # up to this delivery
        self._wake = asyncio.Event()
        self._end: Exception | None = None

    async def attach(self, queue: str, arguments: FieldTable | None = None) -> None:
        """Begin to consume."""
        self.channel.on_consumer_cancel_callbacks.add(self._on_cancel)
        self.channel.closing.add_done_callback(self._on_channel_closed)
        await self.channel.basic_qos(prefetch_count=self._prefetch)
        self._incoming.route(self.channel.number, self._on_message)
        answer = await self.channel.basic_consume(queue, self._astray, arguments=arguments)
        self.tag = answer.consumer_tag or ""

    async def read(self, source: FeedSource, where: int | str) -> None:
        """Begin to read the feed's stream at an offset, ``first``, ``last``, ``next`` or ``90s``.

        Raises :class:`TopologyError` if that is refused.
        """
        try:
            await self.attach(source.queue, {OFFSET_HEADER: where})
        except ChannelPreconditionFailed as error:
            raise refused(source, error) from error

    async def run(self) -> None:
        """Ack what is handed over until the consumer is lost; raise its end."""
        while self._end is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(ACK_TICK_S):
                    await self._wake.wait()
            self._wake.clear()
            if self._end is None:
                await self.ack()
        raise self._end

    async def ack(self) -> None:
        """Ack everything handed over so far."""
        received = self.received
        if received > self.acked:
            self.acked = received
            self._ack_at = received + self._ack_every
            await self.channel.basic_ack(received, multiple=True, wait=False)

    def lose(self, end: Exception) -> None:
        """End the consumer: nothing more is handed over, :meth:`run` raises ``end``."""
        if self._end is None:
            self._end = end
        self.first.set()
        self._wake.set()

    def raise_if_lost(self) -> None:
        """Raise what ended the consumer, if something did."""
        if self._end is not None:
            raise self._end

    @property
    def is_lost(self) -> bool:
        """Whether nothing more is handed over."""
        return self._end is not None

    @property
    def is_amid(self) -> bool:
        """Whether a message has come in part: it is large, or the link slow."""
        return self._incoming.is_amid(self.channel.number)

    async def has_begun(self, within_s: float) -> bool:
        """Wait for the first message, or the end; False if neither came in time.

        A message that has begun to come is waited for, however long it takes:
        whether its bytes flow is for the broker's probe to see.
        """
        while not self.first.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self.first.wait()
            if not self.is_amid:
                break
        return self.first.is_set()

    async def detach(self) -> None:
        """Cancel the consumer, ack what came, close the channel; bounded in time."""
        try:
            # The channel may be gone already, or be cut off by any error of its link.
            with suppress(AMQPError, OSError, RuntimeError, ValueError, OverflowError):
                async with asyncio.timeout(DETACH_TIMEOUT_S):
                    if self.tag and self._end is None:
                        await self.channel.basic_cancel(self.tag)
                        await self.ack()
                    await self.channel.close()
        finally:
            self.lose(ConsumerLost("detached"))
        raise_if_cancelled()

    def _on_message(self, message: Received) -> None:
        """Hand one message over; the hot path."""
        if self._end is not None:
            return
        # Delivery tags count a channel's deliveries from 1 (AMQP 0-9-1, 1.1).
        tag = self.received = message.tag
        try:
            self._handle(message)
        except Exception as error:  # noqa: BLE001 - a fault of ours, in whatever shape
            # If it went on, it would end the connection, and every other feed with it.
            _log.exception("message not handled", routing_key=message.routing_key)
            self.lose(ConsumerLost(f"a message could not be handled: {error!r}"))
        if tag >= self._ack_at:
            self._wake.set()
        if tag == 1:
            self.first.set()

    async def _astray(self, _message: DeliveredMessage) -> None:
        """Take what aiormq should never see of a routed channel."""
        self.lose(ConsumerLost("a delivery went past its consumer"))

    def _on_cancel(self, _frame: Basic.Cancel) -> None:
        self.lose(ConsumerLost("the broker cancelled the consumer: its queue was deleted or moved"))

    def _on_channel_closed(self, closing: asyncio.Future[None]) -> None:
        error = None if closing.cancelled() else closing.exception()
        self._incoming.forget(self.channel.number, self._on_message)
        self.lose(ConsumerLost(f"the channel was closed: {error or 'no reason given'}"))
