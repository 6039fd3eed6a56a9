"""Takes a broker's deliveries to the hub: it decodes each once, and refuses what is poison.

This is the one sink of the brokers. It never raises and never waits. Must not know which
broker it is, nor who subscribes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import orjson
import structlog

from tickfan.core.errors import Poison
from tickfan.core.feed import Upstream
from tickfan.core.pattern import is_channel_name
from tickfan.core.update import MESSAGE_UPDATES_MAX
from tickfan.wire.inbound import (
    Item,
    check_type,
    decode,
    footprint,
    is_messagepack,
    measures,
    weigh,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickfan.broker.base import Received
    from tickfan.clock import Clock
    from tickfan.core.feed import Feed, Schema
    from tickfan.core.feeds import Feeds
    from tickfan.core.tally import Tally
    from tickfan.fanout.hub import Hub

log = structlog.get_logger("tickfan.ingest")

SAMPLE_S = 10.0
"""One poison message of each feed, reason and channel is logged in so many seconds."""
SOURCES_MAX = 20
"""So many channels are named for one feed and reason in that time; more are only counted."""


FUTURE_MS = 1000
"""An update with a ``ts`` so far ahead of our clock is counted; clocks always differ a little.

In all figures of age it counts as new."""


class Source(NamedTuple):
    """What all the updates of one message share."""

    feed: Feed
    routing_key: str
    type: str
    ts: int
    seq: int
    fingerprint: str | None
    future_ms: int
    """A later ``ts`` is counted as one from the future."""


class Named:
    """The channels of which poison was logged lately. A publisher is known by its channel."""

    __slots__ = ("_channels", "_until")

    def __init__(self) -> None:
        self._channels: set[str] = set()
        self._until = -math.inf

    def adds(self, channel: str, now: float) -> bool:
        """Whether a line is due for this channel: its first in this time, of not too many."""
        if now >= self._until:
            self._channels.clear()
            self._until = now + SAMPLE_S
        if channel in self._channels or len(self._channels) == SOURCES_MAX:
            return False
        self._channels.add(channel)
        return True

    @property
    def is_full(self) -> bool:
        """Whether no other channel will be named in this time."""
        return len(self._channels) == SOURCES_MAX


class Ingest:
    """Implements :class:`tickfan.broker.base.Sink`."""

    def __init__(
        self, hub: Hub, feeds: Feeds, tally: Tally, clock: Clock, message_bytes_max: int
    ) -> None:
        """``message_bytes_max``: larger bodies are refused unread."""
        self._hub = hub
        self._feeds = feeds
        self._tally = tally
        self._wall_ms = clock.wall_ms
        self._time = clock.time
        self._message_bytes_max = message_bytes_max
        self._named: dict[tuple[str, str], Named] = {}

    def deliver(self, feed: str, message: Received, fingerprint: str | None = None) -> None:
        """Publish what is in one message; see :class:`tickfan.broker.base.Sink`."""
        of = self._feeds[feed]
        self._tally.messages_in[feed] += 1
        now = of.heard_ms = self._wall_ms()
        # Unpacked at once: an attribute of a named tuple costs as much as all of it.
        routing_key, body, content_type, type_, _, ts, is_batch, offset, _, wrong, _ = message
        if ts is None:
            ts = now
        # What is read back at the start is old on purpose.
        elif of.upstream is not Upstream.STARTING:
            # Clocks differ: a publisher's may be ahead of ours.
            self._tally.upstream_lag[feed].observe(max(0, now - ts) / 1000)
        seq = (offset or 0) * MESSAGE_UPDATES_MAX
        try:
            if wrong is not None:
                raise wrong
            type_ = check_type(type_)
            items = self._decode(message, of)
        except Poison as poison:
            self._refuse(Source(of, routing_key, "", ts, seq, fingerprint, 0), 0, poison, None)
            return
        source = Source(of, routing_key, type_, ts, seq, fingerprint, now + FUTURE_MS)
        if is_batch:
            self._publish_batch(source, body, items)
        else:
            (item,) = items
            assert isinstance(item, Item), "a message of one update is refused as a whole"
            text = orjson.dumps(item.data) if is_messagepack(content_type) else body
            # A conflated feed keeps no more than its newest values: what they take is not asked.
            held = footprint(text) if of.is_lossless else 0
            self._publish(source, 0, item, weigh(text), held)
        self._tally.updates_in[feed] += len(items)

    def _decode(self, message: Received, feed: Feed) -> Sequence[Item | Poison]:
        body = message.body
        if len(body) > self._message_bytes_max:
            raise Poison(
                "too_large",
                f"{len(body)} bytes; broker.message_bytes_max is {self._message_bytes_max}",
            )
        items = decode(
            message.routing_key,
            body,
            message.content_type,
            batch=message.batch,
            known=feed.channels,
            encoding=message.content_encoding,
        )
        if feed.schema is None:
            return items
        fitting = [_fitting(item, feed.schema) for item in items]
        if not message.batch and isinstance(fitting[0], Poison):
            raise fitting[0]
        return fitting

    def upstream(self, feed: str, state: Upstream, why: str) -> None:
        """See :class:`tickfan.broker.base.Sink`."""
        if state is not self._feeds[feed].upstream:
            self._tally.feed_changes[feed, state.value] += 1
        self._hub.upstream(self._feeds[feed], state, why, self._wall_ms())

    def reset(self, feed: str, reason: str) -> None:
        """See :class:`tickfan.broker.base.Sink`."""
        log.warning("the stream cannot be continued", feed=feed, reason=reason)
        self._hub.reset(self._feeds[feed], reason)

    def _publish_batch(self, source: Source, body: bytes, items: Sequence[Item | Poison]) -> None:
        if source.feed.is_lossless:
            counts = measures(body, items)
        else:
            count = len(items)
            counts = ((weigh(body) // (count or 1), 0),) * count
        for index, (item, (size, held)) in enumerate(zip(items, counts, strict=True)):
            if isinstance(item, Poison):
                self._refuse(source, index, item, item.channel)
            else:
                self._publish(source, index, item, size, held)

    def _publish(self, source: Source, index: int, item: Item, size: int, held: int) -> None:
        # Unpacked at once: an attribute of a named tuple costs as much as all of it.
        feed, _, type_, ts, seq, fingerprint, future_ms = source
        channel, data, own_ts = item
        if own_ts is not None:
            ts = own_ts
        if channel not in feed.channels and not feed.covers(channel):
            poison = Poison("wrong_feed", _not_of(feed, channel))
            self._refuse(source, index, poison, None)
            return
        try:
            self._hub.publish(
                feed,
                channel,
                data,
                ts,
                type_=type_,
                size=size,
                held=held,
                seq=seq + index,
                fingerprint=fingerprint,
            )
        except Poison as poison:
            self._refuse(source, index, poison, None)
            return
        if ts > future_ms:
            self._tally.from_future[feed.name] += 1

    def _refuse(self, source: Source, index: int, poison: Poison, channel: str | None) -> None:
        """Count a poison message, log a sample, tell a lossless channel's readers."""
        feed = source.feed
        key = feed.name, poison.reason
        self._tally.poison[key] += 1
        named = self._named.get(key)
        if named is None:
            named = self._named[key] = Named()
        of = channel or source.routing_key
        if named.adds(of, self._time()):
            log.warning(
                "poison message refused",
                feed=feed.name,
                reason=poison.reason,
                detail=poison.detail,
                channel=of,
                offset_seq=source.seq + index,
                so_far=self._tally.poison[key],
                more_are_not_named=named.is_full,
            )
        if feed.is_lossless and poison.reason != "channels_max":
            self._tell_gap(source, index, poison, channel)

    def _tell_gap(self, source: Source, index: int, poison: Poison, channel: str | None) -> None:
        """On its own channel, or else on that of the message's routing key."""
        feed = source.feed
        if channel is None or not is_channel_name(channel) or not feed.covers(channel):
            channel = source.routing_key
        if not is_channel_name(channel) or not feed.covers(channel):
            return  # nobody can subscribe to it
        seq = source.seq + index
        try:
            self._hub.gap(feed, channel, poison.reason, source.ts, seq, source.fingerprint)
        except Poison as full:
            self._tally.poison[feed.name, full.reason] += 1


def _fitting(item: Item | Poison, schema: Schema) -> Item | Poison:
    """The item, or what is wrong with its data by the feed's schema."""
    if isinstance(item, Item):
        try:
            schema.check(item.data)
        except Poison as poison:
            return Poison(poison.reason, poison.detail, item.channel)
    return item


def _not_of(feed: Feed, channel: str) -> str:
    bind = ", ".join(feed.spec.bind)[:200]
    return (
        f"{channel!r} is not of feed {feed.name!r} ({bind}): the routing key of a message must be "
        "its channel. A client of RabbitMQ's stream protocol has none: publish to the "
        "exchange, set the message annotation x-routing-key, or send a batch"
    )
