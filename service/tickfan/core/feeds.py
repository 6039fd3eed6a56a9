"""All feeds of a service, by name: which one covers a channel, and how they are doing.

Must not know where updates come from, nor to which clients they go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickfan.core.errors import Refusal
from tickfan.core.feed import Feed, Upstream

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tickfan.core.cursor import Place
    from tickfan.core.feed import Channel, Schema
    from tickfan.core.scope import Scope
    from tickfan.core.spec import FeedSpec


class Feeds(dict[str, Feed]):
    """The feeds, in the operator's order."""

    def __init__(self, specs: Iterable[FeedSpec], schemas: Mapping[str, Schema] = {}) -> None:
        """``schemas``: by the names of the feeds that have one."""
        super().__init__((spec.name, Feed(spec, schemas.get(spec.name))) for spec in specs)

    def covering(self, name: str) -> Feed | None:
        """The feed that covers a channel name."""
        for feed in self.values():
            if name in feed.channels or feed.covers(name):
                return feed
        return None

    def channel(self, name: str) -> Channel | None:
        """A channel that has had an update."""
        feed = self.covering(name)
        return None if feed is None else feed.channels.get(name)

    def behind(self, places: Mapping[str, Place]) -> list[Feed]:
        """The lossless feeds that have not been read as far as a cursor's places."""
        feeds = (self.get(name) for name in places)
        return [feed for feed in feeds if feed is not None and feed.is_lossless
                and feed.is_behind(places[feed.name])]  # fmt: skip

    def wake(self) -> None:
        """Let everybody look again who waits for one of them to be read further."""
        for feed in self.values():
            feed.awaited.reach()

    def no_feed(self, text: str, reads: Scope) -> Refusal:
        """The refusal of a name or a pattern that is of none of them.

        It tells what they bind, as far as whoever asks may read some of it.
        """
        own = [own for feed in self.values() for own in feed.patterns if reads.overlaps(own)]
        bound = ", ".join(pattern.text for pattern in own) or "nothing that you may read"
        return Refusal("no_feed", f"no feed covers {text!r}; the feeds bind: {bound}", text)

    @property
    def is_starting(self) -> bool:
        """Whether some feed has never been live: nobody can be served right.

        An outage of the broker does not count: clients are told that values
        are stale, while a service without a ready replica answers 503, after
        which an EventSource never comes back.
        """
        return Upstream.STARTING in [feed.upstream for feed in self.values()]
