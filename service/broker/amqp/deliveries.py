"""From an AMQP message to a :class:`Delivery`: properties only, never the body.

A header of the wrong type counts as absent: a publisher's slip must not stop
a feed. Must not know channels, acks or sinks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.broker.base import Delivery
from service.core.cursor import fingerprint

if TYPE_CHECKING:
    from aiormq.abc import DeliveredMessage
    from pamqp.commands import Basic

OFFSET_HEADER = "x-stream-offset"
_TS_MAX = 2**53


def offset_of(message: DeliveredMessage) -> int | None:
    """The message's offset in its stream; None if it did not come from one."""
    headers = message.header.properties.headers
    offset = headers.get(OFFSET_HEADER) if headers else None
    return offset if type(offset) is int else None


def mark_of(message: DeliveredMessage) -> str:
    """The fingerprint of a message, the same from a stream and from a queue."""
    properties = message.header.properties
    ts, _ = _ts_and_batch(properties)
    routing_key: str = message.delivery.routing_key  # type: ignore[union-attr, assignment]
    return fingerprint(routing_key, message.body, properties.message_id, ts)


def from_stream(feed: str, message: DeliveredMessage, offset: int) -> Delivery:
    """A lossless feed's delivery, with the fingerprint of the message."""
    properties = message.header.properties
    ts, batch = _ts_and_batch(properties)
    routing_key: str = message.delivery.routing_key  # type: ignore[union-attr, assignment]
    body = message.body
    return Delivery(
        feed,
        routing_key,
        body,
        properties.content_type,
        properties.message_type or None,
        ts,
        batch,
        offset,
        fingerprint(routing_key, body, properties.message_id, ts),
    )


def from_queue(feed: str, message: DeliveredMessage) -> Delivery:
    """A conflated feed's delivery."""
    properties = message.header.properties
    ts, batch = _ts_and_batch(properties)
    routing_key: str = message.delivery.routing_key  # type: ignore[union-attr, assignment]
    return Delivery(
        feed,
        routing_key,
        message.body,
        properties.content_type,
        properties.message_type or None,
        ts,
        batch,
    )


def _ts_and_batch(properties: Basic.Properties) -> tuple[int | None, bool]:
    """Header ``ts`` in ms, else property ``timestamp`` (seconds); header ``batch``."""
    headers = properties.headers
    ts, batch = None, False
    if headers:
        batch = headers.get("batch") is True
        given = headers.get("ts")
        if type(given) is int and 0 <= given < _TS_MAX:
            ts = given
    if ts is None and properties.timestamp is not None:
        ts = int(properties.timestamp.timestamp() * 1000)
    return ts, batch
