"""The subscribers that get every update of the same channels, in order.

An audience (see :mod:`tickfan.fanout.audience`) whose updates are written in batches,
each of which ends with a cursor. Must not know how members connect, which
audiences exist, or when they are flushed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tickfan.core import closing
from tickfan.core.cursor import Trail
from tickfan.fanout.audience import FLUSH_BYTES, note_flush
from tickfan.fanout.subscriber import cut_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickfan.core.closing import Reason
    from tickfan.core.feed import Channel, Feed
    from tickfan.core.tally import Tally
    from tickfan.core.update import Update
    from tickfan.fanout.audience import Key
    from tickfan.fanout.subscriber import Subscriber
    from tickfan.fanout.timers import Flusher


class LosslessAudience:
    """Members that get every update of the same channels, in order."""

    __slots__ = (
        "_clock", "_feeds", "_flusher", "_is_urgent", "_park", "_pending_bytes", "_skips", "_tally",
        "channels", "flushed_at", "key", "members", "pending", "trail",
    )  # fmt: skip

    def __init__(
        self,
        key: Key,
        tally: Tally,
        park: Callable[[Subscriber], None],
        clock: Callable[[], float],
        flusher: Flusher,
    ) -> None:
        self.key = key
        self.members: dict[Subscriber, None] = {}
        self.channels: set[Channel] = set()
        self.pending: list[Update] = []
        self._pending_bytes = 0
        self._is_urgent = False
        self._tally = tally
        self._park = park
        self._clock = clock
        self._flusher = flusher
        self._feeds = tuple(sorted(key.feeds, key=lambda feed: feed.name))
        # How many of the pending updates a joiner is not due: it joined, or
        # caught up from history, after they came.
        self._skips: dict[Subscriber, int] = {}
        self.trail = self.tails()
        self.flushed_at = 0.0

    def tails(self) -> Trail:
        """The places that the feeds have reached."""
        return Trail({feed.name: feed.place for feed in self._feeds})

    def reached(self) -> Trail:
        """The places that the members on the shared path have reached."""
        return self.trail.copy() if self.pending else self.tails()

    def take(self, update: Update) -> None:
        """Make the update part of the next flush. Its feed's place is still the one before it."""
        pending = self.pending
        if not pending:
            # Everything up to here has been written or queued, of quiet feeds
            # too: their places move on although nothing was sent.
            self.trail = self.tails()
            self._flusher.due(self)
        pending.append(update)
        self._pending_bytes += update.size
        if self._pending_bytes >= FLUSH_BYTES and not self._is_urgent:
            self._is_urgent = True
            self._flusher.at_once(self)

    def join(self, member: Subscriber) -> None:
        """Add a parked member that is due everything from now on."""
        self.members[member] = None
        self.caught_up(member)

    def caught_up(self, member: Subscriber) -> None:
        """The member has everything up to now, what is pending included."""
        if self.pending:
            self._skips[member] = len(self.pending)
            member.awaits_flush = True

    def leave(self, member: Subscriber) -> None:
        """Remove a member; what it was due and is pending goes into its backlog."""
        self.members.pop(member, None)
        skip = self._skips.pop(member, 0)
        member.awaits_flush = False
        if self.pending[skip:]:
            self._park(member)
            member.offer(self.pending[skip:])

    def forget(self, member: Subscriber) -> None:
        """Remove a member that is due nothing any more."""
        self.members.pop(member, None)
        self._skips.pop(member, None)

    def flush(self) -> None:
        """Write what is pending to every member, or into its backlog.

        Of a burst at most FLUSH_BYTES go in one turn of the loop, so that a
        client that has stopped reading is found before all of it is written.
        """
        pending = self._take_pending()
        if not pending or not self.members:
            return
        self.flushed_at = now = self._clock()
        before = self.trail.copy()
        due, is_done = cut_at(pending, self.key.until)
        frame = self.key.format.live(due, self.trail)
        count, size = len(due), len(frame)
        written = 0
        over: list[tuple[Subscriber, Reason]] = []
        for member in self.members:
            if member.parked:
                self._offer(member, pending)
                continue
            send = member.pipe.send
            try:
                if (sent := send(frame)) != size:
                    member.pipe.write(frame[sent:])
            except BlockingIOError:
                self._tally.parked += 1
                member.trail = before.copy()
                self._park(member)
                member.offer(pending)
                continue
            except OSError:
                over.append((member, closing.LOST))
                continue
            if not member.updates:
                self._tally.first_update.observe(now - member.opened_at)
            member.updates += count
            member.written_at = now
            written += 1
            if is_done:
                over.append((member, closing.DONE))
        note_flush(self._tally, self._tally.lossless_age, due, written, size)
        for member, reason in over:
            member.end(reason)

    def restart(self, feed: Feed, fields: dict[str, Any]) -> None:
        """The feed's stream was lost: forget what is owed of it, and send ``reset``.

        What has come before is still written, in order; what waits for slow
        members is dropped, since the event says so. ``fields`` are the event's.
        """
        while self.pending:
            self.flush()
        fresh = {feed.name: feed.place}
        frames: dict[str, bytes] = {}
        for member in self.members:
            if member.ended is not None:
                continue  # its last cursor is one of the old stream
            # Off the shared path, so that nothing of the new stream comes first.
            self._park(member)
            member.drop_feed(feed)
            if member.replay is not None:
                member.replay.restart(feed)
            assert member.trail is not None
            member.trail.jump(fresh)
            cursor = member.trail.text()
            if cursor not in frames:
                frames[cursor] = self.key.format.event("reset", fields, cursor)
            member.reset(frames[cursor])

    def _take_pending(self) -> list[Update]:
        """What is flushed now; the rest of a large burst stays, and is due at once."""
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

    def _offer(self, member: Subscriber, pending: list[Update]) -> None:
        skip = self._skips.pop(member, 0) if self._skips else 0
        if skip > len(pending):
            self._skips[member] = skip - len(pending)
            return
        member.awaits_flush = False
        member.offer(pending[skip:])
