"""The embedded broker, ``memory://``: the same contract inside the process.

It is a twin of :mod:`tickfan.broker.amqp`, to try things out and for tests. What is
published reaches the sink of this process only, and nothing outlives the process. So
``warm`` has nothing to do here: there is no past, and no outage that could hide any. Must
not know what the sink does.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn

from tickfan.broker.base import (
    BrokerDown,
    Health,
    MessageIds,
    Received,
    SinkFailures,
    Unroutable,
    check_routing_key,
    find_source,
)
from tickfan.core.errors import TickfanError
from tickfan.core.feed import Upstream
from tickfan.core.pattern import Pattern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickfan.broker.base import FeedSource, Message, Sink


class MemoryBroker:
    """A :class:`tickfan.broker.base.Broker` without a broker.

    ``sink`` None makes it a publisher only: what is routable is confirmed and
    goes nowhere.
    """

    def __init__(self, sources: Sequence[FeedSource], sink: Sink | None) -> None:
        self._sources = {source.spec.name: source for source in sources}
        self._patterns = {
            name: tuple(Pattern(text) for text in source.spec.bind)
            for name, source in self._sources.items()
        }
        self._offsets = dict.fromkeys(self._sources, 0)
        self._sink = sink
        self._ids = MessageIds()
        self._is_running = False
        self._failures = SinkFailures()

    async def run(self) -> NoReturn:
        """See :meth:`tickfan.broker.base.Broker.run`."""
        if self._sink is None:
            raise TickfanError("this broker was made without a sink: it can only publish")
        self._is_running = True
        try:
            for name in self._sources:
                self._sink.upstream(name, Upstream.LIVE, "")
            await asyncio.get_running_loop().create_future()  # until cancelled
        finally:
            self._is_running = False
        raise AssertionError("nobody completes that future")

    async def publish(self, feed: str, message: Message) -> None:
        """See :meth:`tickfan.broker.base.Broker.publish`."""
        exchange = find_source(self._sources, feed).exchange
        check_routing_key(message)
        if self._sink is not None and not self._is_running:
            raise BrokerDown("the embedded broker is not running")
        targets = self._bound(exchange, message.routing_key)
        if not targets:
            raise Unroutable(
                f"no feed is bound to exchange {exchange!r} for {message.routing_key!r}"
            )
        for source in targets:
            self._deliver(source, message)

    def health(self) -> Health:
        """See :meth:`tickfan.broker.base.Broker.health`; there is nothing to be lost."""
        return Health(
            is_blocked=False,
            unbound={},
            causes=dict.fromkeys(self._sources, "" if self._is_running else None),
        )

    async def close(self) -> None:
        """See :meth:`tickfan.broker.base.Broker.close`; there is nothing to close."""

    def _bound(self, exchange: str, routing_key: str) -> list[FeedSource]:
        return [
            source
            for name, source in self._sources.items()
            if source.exchange == exchange
            and any(pattern.matches(routing_key) for pattern in self._patterns[name])
        ]

    def _deliver(self, source: FeedSource, message: Message) -> None:
        name = source.spec.name
        offset = None
        if source.spec.is_lossless:
            offset = self._offsets[name]
            self._offsets[name] = offset + 1
        if self._sink is None:
            return
        received = Received(
            message.routing_key,
            message.body,
            message.content_type,
            message.type,
            message.message_id or self._ids.next(),
            message.ts,
            message.batch,
            offset,
        )
        fingerprint = received.fingerprint() if source.spec.is_lossless else None
        try:
            self._sink.deliver(name, received, fingerprint)
        except Exception as error:  # noqa: BLE001 - counted and logged
            self._failures.note(name, error)
