"""What must exist in RabbitMQ, how it is declared, and what to say if it differs.

Must not know connections, consumers or publishers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import structlog
from aiormq.exceptions import (
    ChannelAccessRefused,
    ChannelClosed,
    ChannelLockedResource,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
)

from tickfan.broker.base import TopologyError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiormq.abc import AbstractChannel

    from tickfan.broker.base import FeedSource

    OpenChannel = Callable[[], Awaitable[AbstractChannel]]

_log = structlog.get_logger()
_SETTINGS = {
    "x-max-age": "retention_age",
    "x-max-length-bytes": "retention_bytes",
    "x-stream-max-segment-size-bytes": "segment_bytes",
}
# RabbitMQ: inequivalent arg 'x' for queue 'q' in vhost '/': received … but current is …
_INEQUIVALENT = re.compile(r"inequivalent arg '([^']+)' for .*: received (.*) but current is (.*)")


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
    except (ChannelPreconditionFailed, ChannelAccessRefused) as error:
        if not was_there or "inequivalent arg 'type'" in str(error):
            raise _explained(error, f"exchange {exchange!r}", "a durable topic exchange") from error
        return True
    except ChannelClosed as error:
        raise _explained(error, f"exchange {exchange!r}", "a durable topic exchange") from error
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
        raise _explained(error, what, "a durable stream") from error
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
        raise _explained(error, f"feed {source.spec.name!r}: its own queue", "bound") from error
    return name


class NoCopy(TopologyError):
    """The node that was asked has no copy of the stream that runs: another one may have."""


def refused(source: FeedSource, error: ChannelPreconditionFailed) -> TopologyError:
    """Why the feed's stream cannot be read over this connection."""
    if "replica on the local node" not in str(error):
        return not_a_stream(source)
    return NoCopy(
        f"feed {source.spec.name!r}: this node of RabbitMQ has no running copy of stream "
        f"{source.queue!r}. If that lasts, add one (rabbitmq-streams add_replica), and name "
        "all nodes in broker.url"
    )


def not_a_stream(source: FeedSource) -> TopologyError:
    """The error for a queue that exists, but is of another type."""
    return TopologyError(
        f"feed {source.spec.name!r}: queue {source.queue!r} exists and is not a stream. "
        "Name another queue for the feed, or delete this one so that a stream can be made"
    )


def _explained(error: ChannelClosed, what: str, wanted: str) -> TopologyError:
    """Say what exists, what the settings say, and what to do."""
    text = str(error)
    if isinstance(error, ChannelNotFoundEntity):
        return TopologyError(
            f"{what} does not exist. Create it ({wanted}), or let the service do so "
            "with broker.declare = true and a user that may configure it"
        )
    if isinstance(error, ChannelAccessRefused):
        return TopologyError(f"{what}: the broker's user may not: {text}. Grant the permission")
    if isinstance(error, ChannelLockedResource):
        return TopologyError(f"{what} belongs to another connection: {text}. Name another")
    if isinstance(error, ChannelPreconditionFailed):
        return TopologyError(_mismatch(text, what, wanted))
    return TopologyError(f"{what} could not be made {wanted}: {text}")


def _mismatch(text: str, what: str, wanted: str) -> str:
    match = _INEQUIVALENT.search(text)
    if match is None:
        return f"{what} exists, but not as {wanted}: {text}"
    argument, received, current = match[1], _value(match[2]), _value(match[3])
    remedy = (
        "delete what exists (with its messages) so that it is made anew, or set "
        "broker.declare = false to use it as it is"
    )
    setting = _SETTINGS.get(argument)
    if setting is None:
        return (
            f"{what} exists, but not as {wanted}: its {argument} is {current}, not {received}. "
            f"Choose another name, or {remedy}"
        )
    if current == "none":
        return (
            f"{what} exists without {argument}: it was not made by this service, and may be no "
            f"stream at all; {setting} says {received}. Choose another name, or {remedy}"
        )
    return (
        f"{what} exists with {argument} {current}, the settings say {received}. Set {setting} to "
        f"what exists, or {remedy}"
    )


def _value(text: str) -> str:
    """``'1h'`` of ``the value '1h' of type 'longstr'``; other texts as they are."""
    quoted = re.search(r"'[^']*'", text)
    return quoted[0] if quoted else text
