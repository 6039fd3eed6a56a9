"""Reads what a resuming subscriber missed out of the history, at a pace.

A storm of resumes must not slow the present. Must not know cursors (others have decided
that the past can be replayed), nor how updates are written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickfan.core.errors import Bound, QueueFull

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tickfan.core.feed import Channel, Feed
    from tickfan.core.update import Update


BURST_S = 0.05
"""How much of a second's bytes may go at once."""


class Pace:
    """Admits so many readers at a time, and gives them so many bytes a second together."""

    __slots__ = ("_burst", "_bytes", "_bytes_per_s", "_clock", "_then", "readers", "readers_max")

    def __init__(self, clock: Callable[[], float], readers_max: int, bytes_per_s: int) -> None:
        """``clock`` in seconds, ``bytes_per_s`` over all readers."""
        self.readers_max = readers_max
        self.readers = 0
        self._clock = clock
        self._bytes_per_s = bytes_per_s
        self._burst = bytes_per_s * BURST_S
        self._bytes = self._burst
        self._then = clock()

    def admit(self) -> bool:
        """Take a place, if there is one; :meth:`leave` gives it back."""
        if self.readers >= self.readers_max:
            return False
        self.readers += 1
        return True

    def leave(self) -> None:
        """Give a place back."""
        self.readers -= 1

    def allowed(self) -> int:
        """Bytes that may be read now; 0 or less: wait."""
        now = self._clock()
        self._bytes = min(self._burst, self._bytes + (now - self._then) * self._bytes_per_s)
        self._then = now
        return int(self._bytes)

    def spend(self, size: int) -> None:
        """Note that so many bytes were read; one may go below zero, once."""
        self._bytes -= size


class HistoryReplay:
    """Reads what a resuming member missed out of its feeds' histories.

    Feed by feed, only the channels of its audience. When the end of every
    history is reached the member has caught up: what comes later comes
    through the audience.
    """

    __slots__ = ("_behind", "_channels", "_is_admitted", "_missed", "_pace", "_since")

    def __init__(
        self,
        channels: set[Channel],
        feeds: Iterable[Feed],
        behind: dict[Feed, int],
        pace: Pace,
    ) -> None:
        """``behind`` is the last ``seq`` received of each feed to replay."""
        self._pace = pace
        self._is_admitted = False
        self._behind = behind
        # The past ends here. What comes later would be delivered anyway.
        self._missed = {feed: _end_of(feed) for feed in behind}
        self._channels = channels
        # Of channels that were added meanwhile: what came before is not due.
        self._since: dict[Channel, int] = {}
        self.move(channels, feeds)

    def move(self, channels: set[Channel], feeds: Iterable[Feed]) -> None:
        """Read these channels of these feeds from now on.

        All the feeds are read, so that none needs a queue meanwhile. A feed that is new
        is read from its end on, and so is a channel.
        """
        for channel in channels - self._channels:
            self._since[channel] = _end_of(channel.feed)
        self._channels = channels
        self._behind = {feed: self._behind.get(feed, _end_of(feed)) for feed in feeds}
        self._missed = {feed: end for feed, end in self._missed.items() if feed in self._behind}

    def restart(self, feed: Feed) -> None:
        """The feed's history was forgotten: go on with what comes after."""
        if feed in self._behind:
            self._behind[feed] = -1
            self._missed.pop(feed, None)
            self._since = {at: seq for at, seq in self._since.items() if at.feed is not feed}

    def stop(self) -> None:
        """Give the place back. Idempotent."""
        if self._is_admitted:
            self._is_admitted = False
            self._pace.leave()

    def next(self, size_most: int) -> tuple[list[Update], bool]:
        """See :class:`tickfan.fanout.backlog.Replay`; nothing while it is not its turn.

        Only what was missed is paced. If the live updates that come meanwhile were paced
        too, a storm of many waiting readers would never end.
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
        channels, since = self._channels, self._since
        for feed, seq in self._behind.items():
            if not feed.history.is_unbroken_after(seq):
                raise QueueFull(Bound("history_bytes_max", len(feed.history), feed.history.size))
            for update in feed.history.after(seq):
                if budget <= 0:
                    return updates, budget, False
                self._behind[feed] = update.seq
                budget -= LOOK_BYTES
                if update.channel in channels and update.seq > since.get(update.channel, -1):
                    updates.append(update)
                    budget -= update.size
        return updates, budget, True


def _end_of(feed: Feed) -> int:
    newest = feed.history.newest
    return -1 if newest is None else newest.seq


LOOK_BYTES = 16
"""An update of another channel counts for so many bytes of a slice when it is passed over.

A reader of one quiet channel must not scan a whole history in one turn."""
