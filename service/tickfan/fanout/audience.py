"""What makes two subscribers due the same bytes, and what both kinds of audience share.

An audience is the subscribers that are due exactly the same bytes: one wire
format, one set of subscriptions, one rhythm. It takes references to updates,
encodes what is not yet encoded when it flushes, joins it once, and hands the
same bytes to every member on the shared path. A member whose transport still
holds bytes is parked and gets references instead.

Must not know how members connect, which audiences exist, or when they are flushed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickfan.core.feed import Channel, Feed
    from tickfan.core.pattern import Pattern
    from tickfan.core.tally import Histogram, Tally
    from tickfan.core.update import Update
    from tickfan.wire.base import Format

MEMBERS_MAX = 500
"""Members of one audience; more with the same key make another. So one flush is
one short job (a write costs about 5 us) and needs no slicing of its own."""

FLUSH_BYTES = 64 * 1024
"""Pending bytes at which a lossless audience does not wait for its window, and
the most that a conflated flush writes to everybody at once."""


class Selector(NamedTuple):
    """One subscribed pattern within one feed."""

    feed: Feed
    pattern: Pattern

    def matches(self, channel: Channel) -> bool:
        """Whether the channel is one of these."""
        return channel.feed is self.feed and self.pattern.matches(channel.name)


class Key(NamedTuple):
    """What makes two subscribers due the same bytes.

    ``interval_ms`` is None for the lossless audience. ``exclude`` holds what
    the same connection gets at a shorter interval: a channel that several of
    its subscriptions match is delivered once.
    """

    format: Format
    interval_ms: int | None
    include: frozenset[Selector]
    exclude: frozenset[Selector]
    until: str | None

    @property
    def feeds(self) -> set[Feed]:
        """The feeds that it can get updates of."""
        return {selector.feed for selector in self.include}


def note_flush(  # noqa: PLR0913 - one count
    tally: Tally, ages: Histogram, updates: Sequence[Update], written: int, size: int, now_ms: int
) -> None:
    """Count a frame that went to ``written`` members.

    Its age is its first update's: the oldest of a lossless one; of a conflated
    one any, as good as another for a distribution.
    """
    if written:
        tally.writes += written
        tally.updates_out += written * len(updates)
        tally.bytes_out += written * size
        age = (now_ms - updates[0].ts) / 1000
        # Clocks differ: a publisher's may be ahead of ours. (max() costs three times as much.)
        ages.observe(age if age > 0 else 0.0, written)
