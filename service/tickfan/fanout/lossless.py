"""The subscribers that get every update of the same channels, in order.

This kind of audience (see :mod:`tickfan.fanout.audience`) writes updates in batches, each
of which ends with a cursor. Must not know how members connect, which audiences exist, or
when they are flushed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tickfan.core import closing
from tickfan.core.bounded import BoundedQueue
from tickfan.core.cursor import Trail
from tickfan.fanout.audience import FLUSH_BYTES, note_flush
from tickfan.fanout.serving import cut_at
from tickfan.fanout.sharing import write_to
from tickfan.fanout.subscriber import ENDED, SHARED

if TYPE_CHECKING:
    from tickfan.clock import Clock
    from tickfan.core.feed import Channel, Feed
    from tickfan.core.tally import Tally
    from tickfan.core.update import Update
    from tickfan.fanout.audience import Key
    from tickfan.fanout.subscriber import Subscriber
    from tickfan.fanout.timers import Flusher


class LosslessAudience:
    """Members that get every update of the same channels, in order."""

    __slots__ = (
        "_bounds", "_clock", "_flusher", "_is_urgent", "_pending_bytes", "_tally", "channels",
        "feeds", "flushed_at", "key", "members", "pending", "trail",
    )  # fmt: skip

    def __init__(
        self,
        key: Key,
        tally: Tally,
        clock: Clock,
        flusher: Flusher,
    ) -> None:
        self.key = key
        self.members: dict[Subscriber, None] = {}
        self.channels: set[Channel] = set()
        self.pending: list[Update] = []
        self._pending_bytes = 0
        self._is_urgent = False
        self._tally = tally
        self._clock = clock
        self._flusher = flusher
        self.feeds = tuple(sorted(key.feeds, key=lambda feed: feed.name))
        specs = [feed.spec for feed in self.feeds]
        # Of what waits for one member, in updates and in bytes: the largest of its feeds.
        self._bounds = (
            max(spec.queue_updates_max for spec in specs),
            max(spec.queue_bytes_max for spec in specs),
        )
        self.trail = self.tails()
        self.flushed_at = 0.0

    def tails(self) -> Trail:
        """The places that the feeds have reached."""
        return Trail({feed.name: feed.place for feed in self.feeds})

    def reached(self) -> Trail:
        """The places that the members on the shared path have reached."""
        return self.trail.copy() if self.pending else self.tails()

    def receive(self, update: Update) -> None:
        """Make the update part of the next flush. Its feed's place is still the one before it."""
        pending = self.pending
        if not pending:
            # All up to here has been written or queued. This holds for quiet feeds, too:
            # their places move on although nothing was sent.
            self.trail = self.tails()
            self._flusher.due(self)
        pending.append(update)
        self._pending_bytes += update.size
        if self._pending_bytes >= FLUSH_BYTES and not self._is_urgent:
            self._is_urgent = True
            self._flusher.at_once(self)

    def queue(self) -> BoundedQueue[Update]:
        """An empty queue for a member that falls behind: the largest bounds of its feeds."""
        return BoundedQueue(*self._bounds)

    def join(self, member: Subscriber) -> None:
        """Add a member that is due everything from now on."""
        self.members[member] = None
        member.join(self)

    def leave(self, member: Subscriber) -> None:
        """Remove a member; what it was due and is pending goes into its backlog."""
        self.members.pop(member, None)
        member.owe(self.pending)

    def forget(self, member: Subscriber) -> None:
        """Remove a member that is due nothing any more."""
        self.members.pop(member, None)

    def flush(self) -> None:
        """Write what is pending to every member, or into its backlog.

        At most FLUSH_BYTES of a burst go in one turn of the loop. So a client that has
        stopped reading is found before all of the burst is written.
        """
        pending = self._take_pending()
        if not pending or not self.members:
            return
        self.flushed_at = now = self._clock.time()
        before = self.trail.copy()
        due, is_done = cut_at(pending, self.key.until)
        frame = self.key.format.live(due, self.trail)
        tally = self._tally
        done = [member for member in self.members if member.phase is SHARED] if is_done else ()
        written, aside, full, lost = write_to(
            self.members, frame, len(due), now, tally.first_update
        )
        for member in aside:
            member.owe(pending)
        for member in full:
            tally.parked += 1
            member.fall_behind(before.copy(), pending)
        now_ms = self._clock.wall_ms()
        note_flush(tally, tally.lossless_age, due, written, len(frame), now_ms)
        for member in lost:
            member.end(closing.LOST)
        for member in done:
            # Not where the audience is: updates behind the end that was asked for are not sent.
            if member.phase is SHARED:
                member.end(closing.DONE, self.trail.copy())

    def restart(self, feed: Feed, fields: dict[str, Any]) -> None:
        """The feed's stream was lost: forget what is owed of it, and send ``reset``.

        What came before is still written, in order. What waits for slow members is
        dropped: the event says so. ``fields`` are the event's.
        """
        while self.pending:
            self.flush()
        frames: dict[str | None, bytes] = {}
        for member in self.members:
            if member.phase is ENDED:
                continue  # its last cursor is one of the old stream
            cursor = member.lose_stream(feed)
            if cursor not in frames:
                frames[cursor] = self.key.format.event("reset", fields, cursor)
            member.reset(frames[cursor])

    def _take_pending(self) -> list[Update]:
        """What is flushed now. The rest of a large burst stays, and is due at once."""
        pending, self.pending = self.pending, []
        self._is_urgent = False
        if self._pending_bytes > FLUSH_BYTES and self.members:
            size = 0
            for index, update in enumerate(pending):
                if size >= FLUSH_BYTES:
                    pending, self.pending = pending[:index], pending[index:]
                    break
                size += update.size
        self._pending_bytes = sum([update.size for update in self.pending])
        if self.pending:
            self._is_urgent = True
            self._flusher.at_once(self)
        return pending
