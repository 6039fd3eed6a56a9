"""Reads what a resuming subscriber missed out of the history.

Must not know cursors (that something can be replayed has been decided), nor
how it is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickfan.core.errors import QueueFull

if TYPE_CHECKING:
    from tickfan.core.feed import Feed
    from tickfan.core.update import Update
    from tickfan.fanout.lossless import LosslessAudience
    from tickfan.fanout.pace import Pace
    from tickfan.fanout.subscriber import Subscriber


class HistoryReplay:
    """Reads what a resuming member missed out of its feeds' histories.

    Feed by feed, only the channels of its audience. When the end of every
    history is reached the member has caught up: what comes later comes
    through the audience.
    """

    __slots__ = ("_behind", "_is_admitted", "_member", "_missed", "_pace", "audience")

    def __init__(
        self,
        member: Subscriber,
        audience: LosslessAudience,
        behind: dict[Feed, int],
        pace: Pace,
    ) -> None:
        """``behind`` is the last ``seq`` received of each feed to replay."""
        self._member = member
        self._pace = pace
        self._is_admitted = False
        self._behind = behind
        # Up to here the past goes; what comes later would be delivered anyway.
        self._missed = {feed: _end_of(feed) for feed in behind}
        self.move(audience)

    def move(self, audience: LosslessAudience) -> None:
        """Read for this audience from now on.

        All its feeds are read, so that none needs a queue meanwhile; those that
        are new begin at their ends.
        """
        self.audience = audience
        feeds = sorted(audience.key.feeds, key=lambda feed: feed.name)
        self._behind = {feed: self._behind.get(feed, _end_of(feed)) for feed in feeds}
        self._missed = {feed: end for feed, end in self._missed.items() if feed in self._behind}

    def restart(self, feed: Feed) -> None:
        """The feed's history was forgotten: go on with what comes after."""
        if feed in self._behind:
            self._behind[feed] = -1
            self._missed.pop(feed, None)

    def stop(self) -> None:
        """Give the place back. Idempotent."""
        if self._is_admitted:
            self._is_admitted = False
            self._pace.leave()

    def take(self, size_most: int) -> tuple[list[Update], bool]:
        """See :class:`tickfan.fanout.subscriber.Replay`; nothing while it is not its turn.

        Only what was missed is paced. Were the live updates that come meanwhile
        paced too, a storm of many waiting readers would never end.
        """
        if all(self._behind[feed] >= end for feed, end in self._missed.items()):
            self.stop()
            updates, _, is_all = self._read(size_most)
            return updates, is_all
        if not self._is_admitted:
            self._is_admitted = self._pace.admit()
        budget = min(size_most, self._pace.allowed()) if self._is_admitted else 0
        if budget <= 0:
            return [], False
        updates, left, is_all = self._read(budget)
        self._pace.spend(budget - left)
        if is_all:
            self.stop()
        return updates, is_all

    def _read(self, budget: int) -> tuple[list[Update], int, bool]:
        """The next updates, what is left of the budget, and whether that was all."""
        updates: list[Update] = []
        channels = self.audience.channels
        for feed, seq in self._behind.items():
            if not feed.history.is_unbroken_after(seq):
                raise QueueFull(len(feed.history), feed.history.size)
            for update in feed.history.after(seq):
                if budget <= 0:
                    return updates, budget, False
                self._behind[feed] = update.seq
                budget -= LOOK_BYTES
                if update.channel in channels:
                    updates.append(update)
                    budget -= update.size
        self.audience.caught_up(self._member)
        return updates, budget, True


def _end_of(feed: Feed) -> int:
    newest = feed.history.newest
    return -1 if newest is None else newest.seq


LOOK_BYTES = 16
"""What passing over one update of another channel counts for in a slice: a
reader of one quiet channel must not scan a whole history in one turn."""
