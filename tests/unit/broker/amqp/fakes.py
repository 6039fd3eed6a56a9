"""A stream and its channel in memory, as far as a consumer can tell; no broker.

For what a module does with messages; what RabbitMQ does is tested on a real
node. Must not know what is tested.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic
from pamqp.header import ContentHeader

if TYPE_CHECKING:
    from aiormq.abc import AbstractChannel

    from service.broker.amqp.connection import Link


def message(
    offset: int | None = None, body: bytes = b"1", key: str = "t.a", tag: int = 1, **properties: Any
) -> DeliveredMessage:
    """A delivered message, as aiormq hands it over."""
    headers = dict(properties.pop("headers", {}))
    if offset is not None:
        headers["x-stream-offset"] = offset
    header = ContentHeader(
        body_size=len(body),
        properties=Basic.Properties(headers=headers or None, **properties),
    )
    deliver = Basic.Deliver("consumer", tag, False, "x", key)
    return DeliveredMessage(
        delivery=deliver, header=header, body=body, channel=cast("AbstractChannel", None)
    )


class FakeChannel:
    """Delivers a list of messages to its consumer, from where it asks for."""

    def __init__(self, messages: list[DeliveredMessage] | None = None) -> None:
        self.messages = messages or []
        self.on_consumer_cancel_callbacks: set[Any] = set()
        self.closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.acked: list[int] = []
        self.asked_from: Any = None
        self.is_closed = False
        self.waiting = 0  # what a passive declaration says
        self._deliveries: list[asyncio.Task[None]] = []

    async def basic_qos(self, **_more: Any) -> None:
        """Agree."""

    async def basic_consume(self, _queue: str, callback: Any, arguments: Any = None) -> Any:
        """Deliver in the next turns of the loop: all, or with ``last`` the last two."""
        self.asked_from = (arguments or {}).get("x-stream-offset")
        messages = self.messages[-2:] if self.asked_from == "last" else self.messages

        async def deliver() -> None:
            for tag, each in enumerate(messages, 1):
                each.delivery.delivery_tag = tag  # type: ignore[union-attr]
                await callback(each)

        self._deliveries.append(asyncio.ensure_future(deliver()))
        return Basic.ConsumeOk("consumer")

    async def basic_ack(self, tag: int, **_more: Any) -> None:
        """Note it."""
        self.acked.append(tag)

    async def basic_cancel(self, _tag: str) -> None:
        """Agree."""

    async def queue_declare(self, _queue: str, **_more: Any) -> Any:
        """Say how many messages wait."""
        return _Declared(self.waiting)

    async def close(self) -> None:
        """Close it, as aiormq does."""
        self.is_closed = True
        if not self.closing.done():
            self.closing.set_result(None)


class _Declared:
    consumer_count = 1

    def __init__(self, message_count: int) -> None:
        self.message_count = message_count


class FakeLink:
    """A connection whose every channel reads the same messages."""

    is_lost = False

    def __init__(self, messages: list[DeliveredMessage]) -> None:
        self.messages = messages
        self.channels: list[FakeChannel] = []

    async def channel(self, *, confirms: bool = False) -> FakeChannel:
        """One more channel."""
        del confirms
        self.channels.append(FakeChannel(self.messages))
        return self.channels[-1]


def link_to(*messages: DeliveredMessage) -> Link:
    """A link to a stream that holds these messages."""
    return cast("Link", FakeLink(list(messages)))
