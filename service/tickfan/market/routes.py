"""Says to which configured feed a channel belongs, for the parts that publish.

Must not know brokers nor what is published.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickfan.core.errors import Refusal
from tickfan.core.pattern import Pattern, check_channel_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickfan.core.spec import FeedSpec

KNOWN_MAX = 100_000
"""Channels whose feed is remembered; further ones are looked up each time."""


class Routes:
    """Channel names to the feeds that cover them."""

    def __init__(self, specs: Sequence[FeedSpec], known_max: int = KNOWN_MAX) -> None:
        """``known_max``: for how many channels the feed is remembered."""
        self._known_max = known_max
        self._specs = {spec.name: spec for spec in specs}
        self._patterns = [(Pattern(text), spec.name) for spec in specs for text in spec.bind]
        self._known: dict[str, str] = {}

    def feed_of(self, channel: str) -> str:
        """The name of the feed that covers ``channel``.

        Raises :class:`Refusal` (``bad_channel``, ``no_feed``).
        """
        feed = self._known.get(channel)
        if feed is None:
            feed = self._find(check_channel_name(channel))
            if len(self._known) < self._known_max:
                self._known[channel] = feed
        return feed

    @property
    def known(self) -> int:
        """How many channels are remembered."""
        return len(self._known)

    def is_lossless(self, feed: str) -> bool:
        """Whether the feed of that name delivers every update."""
        return self._specs[feed].is_lossless

    def _find(self, channel: str) -> str:
        for pattern, feed in self._patterns:
            if pattern.matches(channel):
                return feed
        bound = ", ".join(pattern.text for pattern, _ in self._patterns)
        raise Refusal(
            "no_feed",
            f"no feed covers {channel!r}; the configured patterns are: {bound}",
            channel,
        )
