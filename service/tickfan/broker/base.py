"""The contract between the service and a broker.

A broker hands every delivery to its :class:`Sink`, says how its feeds are doing, and
publishes with a confirm. It must not know what a sink does with a delivery, nor look into
a body.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping  # noqa: TC003 - a named tuple's field
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

import structlog

from tickfan.core.cursor import fingerprint
from tickfan.core.errors import TickfanError

if TYPE_CHECKING:
    from tickfan.core.errors import Poison
    from tickfan.core.feed import Upstream
    from tickfan.core.spec import FeedSpec

log = structlog.get_logger("tickfan.broker")

FIRST = "first"
"""For ``warm``: all of the stream is read back, and there is no live feed without it."""

JSON = "application/json"
MSGPACK = "application/msgpack"


class Received(NamedTuple):
    """One message as it came from the broker, not yet looked into.

    ``ts`` is the publisher's time in ms since 1970 UTC, if it gave one. ``offset``
    is its place in a stream (None: it came from a queue): rising, with holes.
    ``tag`` is what an ack names, for the broker's own use. ``wrong`` says what is wrong with
    a header of ours (None: nothing is): such a message is poison. ``content_encoding`` is
    what the publisher calls it. A property that cannot be decoded counts as absent.
    """

    routing_key: str
    body: bytes
    content_type: str | None = None
    type: str | None = None
    message_id: str | None = None
    ts: int | None = None
    batch: bool = False
    offset: int | None = None
    tag: int = 0
    wrong: Poison | None = None
    content_encoding: str | None = None

    def fingerprint(self) -> str:
        """What tells it from any other message that could stand at the same offset.

        The same from a stream and from a queue: see :func:`tickfan.core.cursor.fingerprint`.
        """
        return fingerprint(self.routing_key, self.body, self.message_id, self.ts)


class Message(NamedTuple):
    """One message to publish. ``message_id`` is made if there is none.

    ``app_id`` names who made it, for a person at RabbitMQ (AMQP 0-9-1, 1.8.1): no consumer of
    ours reads it.
    """

    routing_key: str
    body: bytes
    content_type: str = JSON
    type: str | None = None
    ts: int | None = None
    batch: bool = False
    message_id: str | None = None
    app_id: str | None = None


class Sink(Protocol):
    """What a broker talks to. Plain functions: they never block and never raise."""

    def deliver(self, feed: str, message: Received, fingerprint: str | None = None) -> None:
        """Take one message. In order, each offset at most once.

        ``fingerprint`` is the message's, on a lossless feed; None on a conflated one.
        """

    def upstream(self, feed: str, state: Upstream, why: str) -> None:
        """Take news of a feed's source: live, or stale and why.

        A lossless feed is ``live`` when its stream has been read to the tail
        that was there at the attach; so is a conflated one with ``warm``. If
        that was live before, nothing was missed meanwhile: every value that it
        has is the newest. Live with a ``why``: its past could not be read, and
        quiet channels may have no value, or not the newest.
        """

    def reset(self, feed: str, reason: str) -> None:
        """Take the news that a lossless feed cannot be continued.

        The stream is another one, or lost what had not been read: what comes
        next follows nothing that came before. Or it is the same, and messages did not
        reach it. ``reason`` is one of :data:`tickfan.core.errors.RESET_REASONS`.
        """


class Health(NamedTuple):
    """What a broker says of itself when it is asked, beside what it tells its sink.

    ``is_blocked``: it takes no messages of ours. ``unbound``: by feed, how often its
    exchange was gone while the feed used it. ``causes``: by feed, in a few words why it is
    not read (:class:`SourceError`); "": it is read; None: that is not known yet.
    """

    is_blocked: bool
    unbound: Mapping[str, int]
    causes: Mapping[str, str | None]


class Publishing(Protocol):
    """A place to publish updates."""

    async def publish(self, feed: str, message: Message) -> None:
        """Publish to the feed's exchange; return when the broker has confirmed.

        Messages leave in the order of the calls, also of those that had to
        wait for a connection. Raises :class:`Unroutable`, :class:`Unconfirmed`
        (:class:`Unanswered`, if it is not known), :class:`BrokerDown`,
        :class:`BrokerBlocked`. Works beside :meth:`Broker.run` and also without it (a
        publisher alone).
        """


class Broker(Publishing, Protocol):
    """A source of updates and a place to publish them."""

    async def run(self) -> None:
        """Consume every feed until cancelled, through any outage.

        Never returns by itself and never raises for an outage. On
        cancellation it cancels its consumers, acks what it has handed over,
        closes its channels and connections, in this order, and is gone.
        """

    def health(self) -> Health:
        """How it is doing now, and what has happened since it was made."""

    async def close(self) -> None:
        """Close what :meth:`Publishing.publish` opened. Idempotent."""


class PublishError(TickfanError):
    """A message was not published, or it is not known that it was."""

    code = "publish_failed"


class Unroutable(PublishError):
    """The broker took the message, and no queue is bound for its routing key."""

    code = "unroutable"


class Unconfirmed(PublishError):
    """The broker refused the message, or did not confirm it in time.

    It may or may not have been published.
    """

    code = "unconfirmed"


class Unanswered(Unconfirmed):
    """No answer came: the broker was lost, or is silent."""


class BrokerDown(PublishError):
    """There is no connection to the broker; nothing was published."""

    code = "broker_down"


class BrokerBlocked(BrokerDown):
    """The broker takes no messages now: it is short of memory or disk.

    Nothing was published; one that was under way just then may come later.
    """

    code = "broker_blocked"


class SourceError(TickfanError):
    """Why a feed is not read.

    ``cause`` names it in a few words, which are the same for all feeds that it concerns.
    """

    cause = "not read"

    def __init__(self, text: str, cause: str = "") -> None:
        super().__init__(text)
        if cause:
            self.cause = cause


class TopologyError(SourceError):
    """What the broker has is not what the settings say. Says which and what to do."""


class Verdict(StrEnum):
    """What somebody thinks of a finding."""

    OK = "ok"
    LATER = "will be made"  # by the service, when it runs
    UNSEEN = "not seen"  # nobody can tell without a change to the broker
    WARNING = "warning"  # it works, and not all is well
    WRONG = "wrong"  # it would not work


class Finding(NamedTuple):
    """One thing that a broker has, or lacks, and whether the service works with it."""

    verdict: Verdict
    text: str


@dataclass(frozen=True, slots=True)
class FeedSource:
    """What a broker needs to know of one feed, beside its spec.

    ``exchange`` is a durable topic exchange. ``queue`` is the stream's name,
    one for all replicas: of a lossless feed, or the one beside a conflated
    feed with ``warm``. ``warm`` is how much of the stream is read back at
    start, an AMQP stream interval such as ``1m`` or FIRST (None: a lossless feed starts
    at the tail, a conflated one has no stream). Retention is the stream's:
    ``retention_age`` such as ``1h``, ``retention_bytes``, ``segment_bytes``.
    ``prefetch`` in messages; ``length_max`` bounds the conflated feed's own
    queue in RabbitMQ, in messages (a lossless feed has none: 0).
    """

    spec: FeedSpec
    exchange: str
    queue: str
    warm: str | None
    retention_age: str
    retention_bytes: int
    segment_bytes: int
    prefetch: int
    length_max: int


class SinkFailures:
    """What a sink raised, although it never should: logged ever more rarely.

    The message counts as taken: its publisher is not to blame, and the next must come.
    """

    def __init__(self) -> None:
        self._count = 0

    def note(self, feed: str, error: Exception) -> None:
        """Count ``error``; log the 1st, 2nd, 4th, 8th ..."""
        self._count += 1
        if self._count & (self._count - 1) == 0:
            log.error("sink failed", feed=feed, failures=self._count, exc_info=error)


class MessageIds:
    """Ids for messages that have none: unique, and cheaper than a UUID each."""

    def __init__(self) -> None:
        self._prefix = os.urandom(8).hex()
        self._count = itertools.count()

    def next(self) -> str:
        """A new id."""
        return f"{self._prefix}-{next(self._count)}"


ROUTING_KEY_BYTES_MAX = 255
"""AMQP 0-9-1, section 4.2.5.3: a short string."""


def check_routing_key(message: Message) -> None:
    """Raise :class:`Unroutable` for a routing key that AMQP cannot carry."""
    if len(message.routing_key.encode()) > ROUTING_KEY_BYTES_MAX:
        raise Unroutable(f"a routing key has at most {ROUTING_KEY_BYTES_MAX} bytes")


def find_source(sources: Mapping[str, FeedSource], feed: str) -> FeedSource:
    """The source of a feed. Raises :class:`PublishError` if there is none."""
    source = sources.get(feed)
    if source is None:
        raise PublishError(f"there is no feed {feed!r}: configured are {', '.join(sources)}")
    return source
