"""The subscribers that get the newest values of the same channels at the same ticks.

In this kind of audience (see :mod:`tickfan.fanout.audience`) updates replace each other:
it knows which channels are due, and picks a value when it writes it. Must not know how
members connect, which audiences exist, or when they are flushed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickfan.core import closing
from tickfan.fanout.audience import FLUSH_BYTES, note_flush
from tickfan.fanout.sharing import write_to

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tickfan.clock import Clock
    from tickfan.core.feed import Channel
    from tickfan.core.tally import Tally
    from tickfan.core.update import Update
    from tickfan.fanout.audience import Key
    from tickfan.fanout.subscriber import Subscriber
    from tickfan.fanout.timers import Flusher


class ConflatedAudience:
    """Members that get the newest values of the same channels at the same ticks."""

    __slots__ = (
        "_clock", "_feeds", "_flusher", "_is_due", "_moment", "_order", "_pending",
        "_rest", "_seen", "_tally", "channels", "flushed_at", "key", "members",
    )  # fmt: skip

    def __init__(
        self,
        key: Key,
        tally: Tally,
        clock: Clock,
        flusher: Flusher,
        moment: int,
    ) -> None:
        """``flusher`` times the rest of a large tick.

        ``moment`` is the change log's: what has changed before it is not due.
        """
        self.key = key
        self.members: dict[Subscriber, None] = {}
        self.channels: set[Channel] = set()
        # The same channels, to sweep over. A set of 50 is five times as large in memory,
        # and thousands of sets would not stay in the processor's cache.
        self._order: tuple[Channel, ...] = ()
        self._is_due = False
        # The channels that are due. None: a sweep finds what has changed since ``_seen``.
        self._pending: set[Channel] | None = set()
        # What a large tick has left over. It goes first, or the last of it would never go.
        self._rest: list[Channel] = []
        self._seen = self._moment = moment
        self._tally = tally
        self._clock = clock
        self._flusher = flusher
        self.flushed_at = 0.0
        self._feeds = tuple(key.feeds)

    def note(self, changed: set[Channel], moment: int) -> bool:
        """Note the changes that concern this audience; returns whether to ask for a flush.

        ``changed`` is what has changed up to ``moment`` since the last tick.
        """
        self._moment = moment
        if len(changed) < len(self.channels):
            due = self.channels & changed
            if not due:
                return False
            if self._pending is not None:
                self._pending |= due
        else:
            self._pending = None
        was_due, self._is_due = self._is_due, True
        return not was_due

    def leave(self, member: Subscriber, changed: set[Channel]) -> None:
        """Remove a member; ``changed`` since the last tick goes into its backlog."""
        self.members.pop(member, None)
        owed = (self.channels & changed).union(self._rest)
        if self._pending is None:
            owed.update(channel for channel in self.channels if channel.version > self._seen)
        else:
            owed |= self._pending
        if owed:
            member.owe_newest(owed)

    def _take_pending(self) -> list[Update]:
        """The newest values of what is due."""
        pending, self._pending = self._pending, set()
        seen, self._seen = self._seen, self._moment
        self._is_due = False
        if pending is not None:
            updates = _newest(pending)
        else:
            if len(self._order) != len(self.channels):  # they only ever grow
                self._order = tuple(self.channels)
            updates = [channel.latest for channel in self._order if channel.version > seen]  # type: ignore[misc]
        if self._rest:
            rest, self._rest = self._rest, []
            updates = list(dict.fromkeys(_newest(rest) + updates))
        return updates

    def _first_of(self, updates: list[Update]) -> list[Update]:
        """What of a large tick goes out now; the rest is due soon, again for everybody."""
        count = len(updates)
        for feed in self._feeds:  # nearly always one
            if count * feed.size_most > FLUSH_BYTES:
                break
        else:
            return updates
        count = _count_within(updates, FLUSH_BYTES)
        if count < len(updates):
            self._rest = _channels(updates[count:])
            self._is_due = True
            self._flusher.due(self)
        return updates[:count]

    def flush(self) -> None:
        """Write the newest value of each changed channel to every member."""
        updates = self._take_pending()
        if not updates or not self.members:
            return
        self.flushed_at = now = self._clock.time()
        updates = self._first_of(updates)
        frame = self.key.format.live(updates, None)
        tally = self._tally
        written, aside, full, lost = write_to(
            self.members, frame, len(updates), now, tally.first_update
        )
        if aside or full:
            channels = _channels(updates)
            for member in full:
                tally.parked += 1
                member.owe_newest(channels)
            for member in aside:
                is_first = not member.updates
                try:
                    if not member.take_newest(frame, channels, now):
                        continue
                except OSError:
                    lost.append(member)
                    continue
                written += 1
                if is_first:
                    tally.first_update.observe(now - member.opened_at)
        now_ms = self._clock.wall_ms()
        note_flush(tally, tally.conflated_age, updates, written, len(frame), now_ms)
        for member in lost:
            member.end(closing.LOST)


def _newest(channels: Iterable[Channel]) -> list[Update]:
    # A channel that has changed has a value, and a conflated channel never loses it.
    return [channel.latest for channel in channels]  # type: ignore[misc]


def _channels(updates: Sequence[Update]) -> list[Channel]:
    return [update.channel for update in updates]


def _count_within(updates: Sequence[Update], size_most: int) -> int:
    """How many of the first updates are of about ``size_most`` bytes together; one at least."""
    size = 0
    for index, update in enumerate(updates):
        size += update.size
        if size > size_most and index:
            return index
    return len(updates)
