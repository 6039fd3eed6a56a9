"""What makes two subscribers due the same bytes, and what both kinds of audience share.

An audience is the subscribers that are due exactly the same bytes: they have one wire
format, one set of subscriptions and one interval. An audience takes references to
updates. When it flushes, it encodes what is not yet encoded, joins it once, and hands
the same bytes to each member on the shared path. A member whose socket is full leaves
the shared path and is owed references instead.

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
"""Members of one audience; more subscribers with the same key make another audience.

So one flush is one short job (a write costs about 5 us), and is never cut into slices."""

FLUSH_BYTES = 64 * 1024
"""A lossless audience with so many pending bytes does not wait for its window.

A conflated flush writes at most so many bytes to everybody at once."""


class Selector(NamedTuple):
    """One subscribed pattern within one feed."""

    feed: Feed
    pattern: Pattern

    def matches(self, channel: Channel) -> bool:
        """Whether the channel is one of these."""
        return channel.feed is self.feed and self.pattern.matches(channel.name)


class Key(NamedTuple):
    """What makes two subscribers due the same bytes.

    ``interval_ms`` is None for the lossless audience. ``exclude`` holds what the same
    connection gets at a shorter interval. So a channel that several subscriptions of a
    connection match is delivered once.
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

    The age of a frame is that of its first update. In a lossless frame this is the
    oldest. In a conflated one it is any, which is as good as another for a distribution.
    """
    if written:
        tally.writes += written
        tally.updates_out += written * len(updates)
        tally.bytes_out += written * size
        age = (now_ms - updates[0].ts) / 1000
        # Clocks differ: a publisher's may be ahead of ours. (max() costs three times as much.)
        ages.observe(age if age > 0 else 0.0, written)
