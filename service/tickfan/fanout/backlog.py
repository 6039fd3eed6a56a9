"""What one subscriber is owed that its audiences' writes do not bring.

Must not know how it is written, nor when.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tickfan.core.conflating import ConflatingQueue
from tickfan.core.cursor import Trail
from tickfan.core.errors import Bound, QueueFull
from tickfan.fanout.openings import OPENINGS_MAX, Openings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from tickfan.core.bounded import BoundedQueue
    from tickfan.core.feed import Channel, Feed
    from tickfan.core.update import Update
    from tickfan.fanout.openings import Opening
    from tickfan.fanout.ports import Lossless


CONTROLS_MAX = 64
"""Control events (status, reset, replies) that may wait for one slow client."""


class Replay(Protocol):
    """Where a resuming subscriber reads what it missed."""

    def next(self, size_most: int) -> tuple[list[Update], bool]:
        """The next updates, and whether that was all.

        Raises :class:`~tickfan.core.errors.QueueFull` if history has moved on
        past the reader.
        """

    def restart(self, feed: Feed) -> None:
        """The feed's history was forgotten: go on with what comes after."""

    def move(self, channels: set[Channel], feeds: Iterable[Feed]) -> None:
        """Read these channels of these feeds from now on."""

    def stop(self) -> None:
        """The reader is gone, or through: make room for others."""


class Backlog:
    """Everything that waits for one subscriber. A subscriber that is owed nothing has none.

    ``trail`` is its place in its lossless feeds (None: it has no such feed). ``skip`` says
    how many of its audience's pending updates it is not due: it joined after they came, or
    has read them in the history. ``stuck_bytes`` is what its socket held when that last
    changed, and ``stuck_at`` is when that was, on the loop's clock.
    """

    __slots__ = (
        "controls", "marks", "openings", "queue", "replay", "resets", "skip", "stuck_at",
        "stuck_bytes", "trail",
    )  # fmt: skip

    def __init__(self, trail: Trail | None, queue: BoundedQueue[Update] | None, now: float) -> None:
        self.trail = trail
        # Lossless updates, for a reader of such feeds.
        self.queue = queue
        # Conflated channels, whose newest value is sent.
        self.marks: ConflatingQueue[Channel] = ConflatingQueue()
        # Lists: short when there is something, and empty a tenth of a deque.
        self.controls: list[bytes] = []
        self.openings = Openings()
        # The resets among ``controls``. There is no cursor to give before they are sent.
        self.resets: tuple[bytes, ...] = ()
        self.replay: Replay | None = None
        self.skip = 0
        self.stuck_at = now
        self.stuck_bytes = 0

    @property
    def events_waiting(self) -> int:
        """How many events are to be told before new values are sent."""
        heads = [len(opening.head) + len(opening.resets) for opening in self.openings]
        return len(self.controls) + sum(count or 1 for count in heads)

    @property
    def waiting(self) -> tuple[int, int]:
        """How many values and updates wait; bytes of the lossless ones, and in the socket."""
        queue = self.queue
        updates, size = (0, 0) if queue is None else (len(queue), queue.size)
        return len(self.marks) + updates, size + self.stuck_bytes

    def cursor(self) -> str | None:
        """What may be given as the reader's place now; None without one.

        None, too, while full states or an answer's resets wait: whoever came back with
        a place behind them would never be sent them. What the client has been given
        before is right then, for nothing else is sent meanwhile.
        """
        if self.trail is None or any(one.has_states or one.resets for one in self.openings):
            return None
        return self.trail.text()

    def add_event(self, data: bytes, *, is_reset: bool = False) -> None:
        """Add an event behind a head that waits, not before it: commands are answered in order.

        A reset goes before all openings: each of them ends with a cursor, which is one
        of the new stream. Raises :class:`~tickfan.core.errors.QueueFull` at CONTROLS_MAX.
        """
        if self.events_waiting >= CONTROLS_MAX:
            raise QueueFull(Bound("CONTROLS_MAX", *self.waiting))
        if is_reset:
            self.resets += (data,)
        head = self.openings[-1].head if self.openings and not is_reset else None
        (head or self.controls).append(data)

    def add_opening(self, opening: Opening, channels: Collection[Channel]) -> None:
        """Add behind what waits, with the conflated ``channels`` of its snapshot.

        Raises :class:`~tickfan.core.errors.QueueFull` above OPENINGS_MAX. It is there even
        so: it still says that there is no cursor to give before it.
        """
        if len(self.openings) < OPENINGS_MAX:
            self.openings.add(opening, channels)
        else:
            self.openings.append(opening)
            raise QueueFull(Bound("OPENINGS_MAX", *self.waiting))

    def sent(self, parts: Iterable[bytes]) -> None:
        """These have been written: a reset among them waits no more."""
        if self.resets:
            self.resets = tuple(event for event in self.resets if event not in parts)

    def owe(self, updates: Sequence[Update]) -> None:
        """Queue what an audience flushes, but for the updates to skip.

        Raises :class:`~tickfan.core.errors.QueueFull`.
        """
        if self.skip:
            if self.skip > len(updates):
                self.skip -= len(updates)
                return
            updates = updates[self.skip :]
            self.skip = 0
        if self.replay is None:  # else they come out of the history
            self._queue_all(updates)

    def caught_up(self, audience: Lossless) -> None:
        """All of the past has been read; what is pending was in the history, too."""
        self.replay = None
        self.skip = len(audience.pending)

    def move_to(self, audience: Lossless) -> None:
        """Belong to this audience from now on; of the old queue, keep what is still wanted.

        Raises :class:`~tickfan.core.errors.QueueFull` if that is more than its queue takes.
        """
        tails = {feed.name: feed.place for feed in audience.feeds}
        if self.trail is None:
            self.trail = Trail(tails)
        else:
            self.trail.keep(tails.keys())
            self.trail.fill(tails)
        self.skip = len(audience.pending)
        if self.replay is not None:
            self.replay.move(audience.channels, audience.feeds)
        old, self.queue = self.queue, audience.queue()
        self._queue_all(update for update in old or () if update.channel in audience.channels)

    def _queue_all(self, updates: Iterable[Update]) -> None:
        assert self.queue is not None
        for update in updates:
            self.queue.put(update, update.size)

    def drop_lossless(self) -> None:
        """Forget all that is owed of lossless feeds."""
        if self.replay is not None:
            self.replay.stop()
        self.queue = self.replay = self.trail = None
        self.skip = 0

    def drop_feed(self, feed: Feed) -> None:
        """Forget what waits of a feed whose stream was lost."""
        self._filter(lambda channel: channel.feed is not feed)

    def keep_only(self, keep: Callable[[Channel], bool]) -> None:
        """Forget what waits of all other channels: the client does not want it."""
        self.marks.retain(keep)
        self._filter(keep)

    def _filter(self, keep: Callable[[Channel], bool]) -> None:
        self.openings.retain(keep)
        queue = self.queue
        if queue is None:
            return
        kept = [update for update in queue if keep(update.channel)]
        queue.clear()
        for update in kept:
            queue.put(update, update.size)


def newest(marks: ConflatingQueue[Channel], size_most: int) -> list[Update]:
    """Take the newest value of marked channels, up to about ``size_most`` bytes."""
    updates: list[Update] = []
    budget = size_most
    while budget > 0 and marks:
        latest = marks.pop().latest
        if latest is not None:
            updates.append(latest)
            budget -= latest.size
    return updates
