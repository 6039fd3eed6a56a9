"""Reads what a resuming subscriber missed out of the history.

Must not know cursors (that something can be replayed has been decided), nor
how it is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.core.errors import QueueFull

if TYPE_CHECKING:
    from service.audience import LosslessAudience
    from service.core.feed import Feed
    from service.core.update import Update
    from service.subscriber import Subscriber


class HistoryReplay:
    """Reads what a resuming member missed out of its feeds' histories.

    Feed by feed, only the channels of its audience. When the end of every
    history is reached the member has caught up: what comes later comes
    through the audience.
    """

    __slots__ = ("_behind", "_member", "audience")

    def __init__(
        self, member: Subscriber, audience: LosslessAudience, behind: dict[Feed, int]
    ) -> None:
        """``behind`` is the last ``seq`` received of each feed to replay."""
        self._member = member
        self.audience = audience
        self._behind = behind

    def restart(self, feed: Feed) -> None:
        """The feed's history was forgotten: go on with what comes after."""
        if feed in self._behind:
            self._behind[feed] = -1

    def take(self, size_most: int) -> tuple[list[Update], bool]:
        """See :class:`service.subscriber.Replay`."""
        updates: list[Update] = []
        budget = size_most
        channels = self.audience.channels
        for feed, seq in self._behind.items():
            if not feed.history.is_unbroken_after(seq):
                raise QueueFull(len(feed.history), feed.history.size)
            for update in feed.history.after(seq):
                if budget <= 0:
                    return updates, False
                self._behind[feed] = update.seq
                budget -= LOOK_BYTES
                if update.channel in channels:
                    updates.append(update)
                    budget -= update.size
        self.audience.caught_up(self._member)
        return updates, True


LOOK_BYTES = 16
"""What passing over one update of another channel counts for in a slice: a
reader of one quiet channel must not scan a whole history in one turn."""
