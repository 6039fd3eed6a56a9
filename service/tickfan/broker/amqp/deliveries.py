"""From an AMQP message to a :class:`Delivery`: properties only, never the body.

Must not know channels, acks or sinks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickfan.broker.base import Delivery
from tickfan.core.cursor import fingerprint

if TYPE_CHECKING:
    from tickfan.broker.amqp.incoming import Received


def fingerprint_of(message: Received) -> str:
    """The fingerprint of a message, the same from a stream and from a queue."""
    return fingerprint(message.routing_key, message.body, message.message_id, message.ts)


def from_stream(feed: str, message: Received, offset: int) -> Delivery:
    """A lossless feed's delivery, with the fingerprint of the message."""
    _, routing_key, body, content_type, type_, message_id, ts, batch, _ = message
    mark = fingerprint(routing_key, body, message_id, ts)
    return Delivery(feed, routing_key, body, content_type, type_, ts, batch, offset, mark)


def from_queue(feed: str, message: Received) -> Delivery:
    """A conflated feed's delivery."""
    _, routing_key, body, content_type, type_, _, ts, batch, _ = message
    return Delivery(feed, routing_key, body, content_type, type_, ts, batch)
