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

from tickfan.core.pattern import Pattern

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from tickfan.core.feed import Channel, Feed
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
    """One subscribed pattern within one feed. A name may be its plain text."""

    feed: Feed
    pattern: str

    def matches(self, channel: Channel) -> bool:
        """Whether the channel is one of these."""
        pattern = self.pattern
        return channel.feed is self.feed and (
            pattern.matches(channel.name)
            if isinstance(pattern, Pattern)
            else pattern == channel.name
        )


class Part(NamedTuple):
    """What is subscribed within one feed: names, and patterns with wildcards.

    A client has hundreds of names: each costs its place in a set, and no object of its own.
    """

    feed: Feed
    names: frozenset[str]
    wild: frozenset[Pattern]

    @classmethod
    def of(cls, feed: Feed, patterns: Iterable[str]) -> Part:
        """Those of some patterns, as they are kept."""
        wild = frozenset([one for one in patterns if isinstance(one, Pattern) and one.is_wild])
        names = set(patterns) - wild
        # A set that has grown has twice the room: a copy has not.
        return cls(feed, frozenset(names), wild)

    def selectors(self) -> Iterator[Selector]:
        """Each of them alone."""
        for patterns in (self.names, self.wild):
            for pattern in patterns:
                yield Selector(self.feed, pattern)

    def matches(self, channel: Channel, matching: Collection[Pattern]) -> bool:
        """Whether the channel is one of these. ``matching`` are wildcards that match its name."""
        return self.feed is channel.feed and (
            channel.name in self.names or not self.wild.isdisjoint(matching)
        )


class Key(NamedTuple):
    """What makes two subscribers due the same bytes.

    ``interval_ms`` is None for the lossless audience. ``exclude`` holds what the same
    connection gets at a shorter interval. So a channel that several subscriptions of a
    connection match is delivered once. Both have one part for each feed, by the feeds' names.
    """

    format: Format
    interval_ms: int | None
    include: tuple[Part, ...]
    exclude: tuple[Part, ...]
    until: str | None

    @property
    def feeds(self) -> set[Feed]:
        """The feeds that it can get updates of."""
        return {part.feed for part in self.include}

    def selectors(self) -> list[Selector]:
        """What it includes."""
        return [selector for part in self.include for selector in part.selectors()]

    def wildcards(self) -> set[Pattern]:
        """The patterns with wildcards that it includes, in whatever feeds."""
        return set[Pattern]().union(*[part.wild for part in self.include])


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
