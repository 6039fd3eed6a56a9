"""What must exist in RabbitMQ, and how it is declared or looked for.

Must not know connections, consumers or publishers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from aiormq.exceptions import (
    ChannelAccessRefused,
    ChannelClosed,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
)

from tickfan.broker.amqp.advice import EXCHANGE, STREAM, explained, left_out, not_permitted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiormq.abc import AbstractChannel

    from tickfan.broker.base import FeedSource

    OpenChannel = Callable[[], Awaitable[AbstractChannel]]

_log = structlog.get_logger()


def stream_arguments(source: FeedSource) -> dict[str, str | int]:
    """The arguments that make the feed's queue a stream with its retention."""
    return {
        "x-queue-type": "stream",
        "x-max-length-bytes": source.retention_bytes,
        "x-max-age": source.retention_age,
        "x-stream-max-segment-size-bytes": source.segment_bytes,
    }


async def has_exchange(channel: AbstractChannel, exchange: str) -> bool:
    """Whether there is an exchange of this name; if not, the channel is closed."""
    try:
        await channel.exchange_declare(exchange, passive=True)
    except ChannelNotFoundEntity:
        return False
    return True


async def prepare_exchange(open_channel: OpenChannel, exchange: str, *, declare: bool) -> bool:
    """Declare the durable topic exchange, or check that it exists; whether it was there.

    One that exists is taken as it is, if it is a topic exchange: with an alternate
    exchange, say, or where we may not declare it. Raises :class:`TopologyError`.
    """
    channel = await open_channel()
    was_there = await has_exchange(channel, exchange)
    if not was_there:
        channel = await open_channel()
    try:
        await channel.exchange_declare(
            exchange, exchange_type="topic", durable=True, passive=not declare
        )
    except ChannelClosed as error:
        is_refused = isinstance(error, ChannelPreconditionFailed | ChannelAccessRefused)
        if was_there and is_refused and "inequivalent arg 'type'" not in str(error):
            return True
        if_missing = "" if declare else left_out(EXCHANGE, "exchange")
        raise explained(error, f"exchange {exchange!r}", EXCHANGE, if_missing) from error
    await channel.close()
    return was_there


async def prepare_stream(
    open_channel: OpenChannel, source: FeedSource, *, declare: bool, binds: bool = True
) -> bool:
    """Declare the feed's stream and bind it, or check that it exists; whether it was bound.

    A stream that exists is taken as it is where the broker's user may not declare or bind
    it. ``binds`` False leaves the binding to a second call. Raises :class:`TopologyError`.
    """
    what = f"feed {source.spec.name!r}: queue {source.queue!r}"
    is_refused = False
    channel = await open_channel()
    try:
        if declare:
            try:
                await channel.queue_declare(
                    source.queue, durable=True, arguments=dict(stream_arguments(source))
                )
            except ChannelAccessRefused:
                is_refused = True
                channel = await open_channel()
        if is_refused or not declare:
            await channel.queue_declare(source.queue, passive=True)
        if declare and binds:
            try:
                await bind(channel, source, source.queue)
            except ChannelAccessRefused as error:
                _log.warning(
                    "the stream cannot be bound by this user: it must be bound already",
                    feed=source.spec.name,
                    stream=source.queue,
                    why=str(error),
                )
                return False
        await channel.close()
    except ChannelClosed as error:
        if_missing = "" if declare else left_out(STREAM, "streams")
        if is_refused:
            if_missing = not_permitted(STREAM)
        raise explained(error, what, STREAM, if_missing) from error
    return declare and binds


async def bind(channel: AbstractChannel, source: FeedSource, queue: str) -> None:
    """Bind the queue to the feed's exchange; nothing happens where it is bound already."""
    for pattern in source.spec.bind:
        await channel.queue_bind(queue, source.exchange, pattern)


async def own_queue(channel: AbstractChannel, source: FeedSource) -> str:
    """Make and bind a conflated feed's own queue, gone with its consumer.

    The server names it (``amq.gen-…``). It is bounded by dropping the oldest:
    only what is ready counts, so the bound needs acks and a finite prefetch
    to bite. Returns the name; raises :class:`TopologyError`.
    """
    try:
        answer = await channel.queue_declare(
            exclusive=True,
            auto_delete=True,
            arguments={"x-max-length": source.length_max, "x-overflow": "drop-head"},
        )
        name = answer.queue or ""
        await bind(channel, source, name)
    except ChannelClosed as error:
        raise explained(error, f"feed {source.spec.name!r}: its own queue", "bound") from error
    return name
