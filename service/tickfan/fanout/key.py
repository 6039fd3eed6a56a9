"""What makes two subscribers due the same bytes.

Must not know audiences, nor what is done with a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tickfan.core.feed import Channel, Feed
    from tickfan.core.pattern import Pattern
    from tickfan.wire.base import Format


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

    def excludes(self, channel: Channel) -> bool:
        """Whether the connection gets the channel at a shorter interval."""
        return any(selector.matches(channel) for selector in self.exclude)

    @property
    def feeds(self) -> set[Feed]:
        """The feeds that it can get updates of."""
        return {selector.feed for selector in self.include}
