"""A stream and its channel in memory, as far as a consumer can tell; no broker.

For what a module does with messages; what RabbitMQ does is tested on a real
node. Must not know what is tested.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from pamqp.commands import Basic

from tickfan.broker.base import Received

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickfan.broker.amqp.connection import Link


def message(
    offset: int | None = None, body: bytes = b"1", key: str = "t.a", **properties: Any
) -> Received:
    """A delivered message."""
    return Received(key, body, offset=offset, tag=1, **properties)


class FakeIncoming:
    """Knows who takes what comes on a channel."""

    def __init__(self) -> None:
        self.routes: dict[int, Callable[[Received], None]] = {}
        self.amid: set[int] = set()  # channels on which half a message has come

    def route(self, channel: int, take: Callable[[Received], None]) -> None:
        """Note the taker."""
        self.routes[channel] = take

    def forget(self, channel: int, _take: Callable[[Received], None]) -> None:
        """Forget the taker."""
        self.routes.pop(channel, None)

    def is_amid(self, channel: int) -> bool:
        """Tell what the test has set."""
        return channel in self.amid


class FakeChannel:
    """Delivers a list of messages to its consumer, from where it asks for."""

    number = 1

    def __init__(
        self,
        messages: list[Received] | None = None,
        incoming: FakeIncoming | None = None,
        queued: list[Received] | None = None,
        tails: list[list[Received]] | None = None,
    ) -> None:
        """``queued``: what a consumer gets that asks for no offset, if not the same.

        ``tails``: what the next ones get that ask for ``last``, if not the last two.
        """
        self.tails = [] if tails is None else tails
        self.messages = messages or []
        self.queued = queued
        self.incoming: Any = incoming or FakeIncoming()
        self.on_consumer_cancel_callbacks: set[Any] = set()
        self.closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.acked: list[int] = []
        self.asked_from: Any = None
        self.is_closed = False
        self.waiting = 0  # what a passive declaration says

    async def basic_qos(self, **_more: Any) -> None:
        """Agree."""

    async def basic_consume(self, _queue: str, _callback: Any, arguments: Any = None) -> Any:
        """Deliver in the next turns of the loop: all, or with ``last`` the last two."""
        self.asked_from = (arguments or {}).get("x-stream-offset")
        messages = self.messages
        if self.asked_from == "last":
            messages = self.tails.pop(0) if self.tails else messages[-2:]
        if self.asked_from is None and self.queued is not None:
            messages = self.queued

        def deliver() -> None:
            for tag, each in enumerate(messages, 1):
                self.incoming.routes[self.number](each._replace(tag=tag))

        asyncio.get_running_loop().call_soon(deliver)
        return Basic.ConsumeOk("consumer")

    async def basic_ack(self, tag: int, **_more: Any) -> None:
        """Note it."""
        self.acked.append(tag)

    async def basic_cancel(self, _tag: str) -> None:
        """Agree."""

    async def exchange_declare(self, _exchange: str, **_more: Any) -> None:
        """Agree."""

    async def exchange_bind(self, **_more: Any) -> None:
        """Agree."""

    async def queue_bind(self, _queue: str, _exchange: str, _key: str) -> None:
        """Agree."""

    async def queue_declare(self, _queue: str = "", **_more: Any) -> Any:
        """Say how many messages wait."""
        return _Declared(self.waiting)

    async def close(self) -> None:
        """Close it, as aiormq does."""
        self.is_closed = True
        if not self.closing.done():
            self.closing.set_result(None)


class _Declared:
    consumer_count = 1
    queue = "amq.gen-1"

    def __init__(self, message_count: int) -> None:
        self.message_count = message_count


class FakeLink:
    """A connection whose every channel reads the same stream, and the same queue."""

    is_lost = False

    def __init__(self, messages: list[Received]) -> None:
        self.messages = messages
        self.queued: list[Received] = []
        self.tails: list[list[Received]] = []
        self.incoming = FakeIncoming()
        self.channels: list[FakeChannel] = []

    async def channel(self, *, confirms: bool = False) -> FakeChannel:
        """One more channel."""
        del confirms
        channel = FakeChannel(self.messages, self.incoming, self.queued, self.tails)
        self.channels.append(channel)
        channel.number = len(self.channels)
        return channel


def link_to(*messages: Received) -> Link:
    """A link to a stream that holds these messages."""
    return cast("Link", FakeLink(list(messages)))
