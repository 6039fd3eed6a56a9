"""One connection as the fan-out sees it: its transport's budget and its backlog.

A subscriber is on the shared path (its audiences write to its transport) or
*parked*: its socket took nothing, or it is owed an opening, a replay or a
backlog of its own. A parked subscriber is served by :meth:`step`, a slice
at a time as its socket drains, and returns to the shared path when nothing is
left. Joining and resuming are parking on purpose: one mechanism.

Must not know audiences, HTTP, WebSocket or who else is connected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tickfan.core import closing
from tickfan.core.conflating import ConflatingQueue
from tickfan.core.errors import QueueFull
from tickfan.fanout.backlog import newest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tickfan.core.bounded import BoundedQueue
    from tickfan.core.closing import Reason
    from tickfan.core.cursor import Trail
    from tickfan.core.feed import Channel, Feed
    from tickfan.core.update import Update
    from tickfan.fanout.backlog import Opening
    from tickfan.wire.base import Format

STEP_BYTES = 32 * 1024
"""What one step writes at most of each kind: with the kernel's share
(``notsent_lowat_bytes``) a stalled client holds less than 64 KiB on our side."""

REPLAY_STALL_S = 0.5
"""A resuming client that takes nothing for so long lets the next one resume."""

CONTROLS_MAX = 64
"""Control events (status, reset, replies) that may wait for one slow client."""

OPENINGS_MAX = 64
"""Subscriptions of one slow client that may wait for their snapshots."""


class Pipe(Protocol):
    """What a subscriber needs of its transport. A lost one raises :class:`OSError`."""

    @property
    def send(self) -> Callable[[bytes], int]:
        """Hands over what the kernel takes now, and returns how many bytes that is.

        Raises :class:`BlockingIOError` if that is none, or something waits before it.
        """

    def write(self, data: bytes) -> None:
        """Hand over all of it, without waiting."""

    def get_write_buffer_size(self) -> int:
        """Bytes handed over that the kernel has not taken."""


class Replay(Protocol):
    """Where a resuming subscriber reads what it missed."""

    def take(self, size_most: int) -> tuple[list[Update], bool]:
        """The next updates, and whether that was all.

        Raises :class:`~tickfan.core.errors.QueueFull` if history has moved on
        past the reader.
        """

    def restart(self, feed: Feed) -> None:
        """The feed's history was forgotten: go on with what comes after."""

    def stop(self) -> None:
        """The reader is gone, or through: make room for others."""


class Subscriber:
    """One connection.

    ``on_end`` is called once, when the hub ends it; ``on_owed`` when it is owed
    something that the shared path does not bring: it must be parked.
    """

    __slots__ = (
        "_on_end", "_on_owed", "awaits_flush", "controls", "ended", "format", "heard_at", "marks",
        "opened_at", "openings", "parked", "pinged_at", "pipe", "queue", "reached", "remote",
        "replay", "resets", "stuck_at", "stuck_bytes", "trail", "until", "updates", "written_at",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - one call, all by name
        self,
        format: Format,  # noqa: A002 - the field's word
        pipe: Pipe,
        on_end: Callable[[Reason], None],
        on_owed: Callable[[Subscriber], None],
        *,
        now: float,
        until: str | None = None,
        remote: str = "",
        pings: bool = False,
    ) -> None:
        self.format = format
        self.pipe = pipe
        self.until = until
        self.remote = remote
        self._on_end = on_end
        self._on_owed = on_owed
        self.ended: Reason | None = None
        self.parked = False
        self.awaits_flush = False
        # Lists: short when there is something, and empty a tenth of a deque.
        self.controls: list[bytes] = []
        self.openings: list[Opening] = []
        # Of the events that wait: until they are sent there is no cursor to give.
        self.resets: tuple[bytes, ...] = ()
        self.replay: Replay | None = None
        self.queue: BoundedQueue[Update] | None = None
        self.marks: ConflatingQueue[Channel] = ConflatingQueue()
        # Where it is in its lossless feeds while it is parked; None on the
        # shared path, where its audience knows (``reached``).
        self.trail: Trail | None = None
        self.reached: Callable[[], Trail] | None = None
        self.updates = 0
        self.opened_at = self.written_at = self.stuck_at = self.heard_at = now
        self.stuck_bytes = 0
        # None: this wire has no pings.
        self.pinged_at: float | None = now if pings else None

    def end(self, reason: Reason) -> None:
        """Close for ``reason``; the first reason counts.

        Nothing is written to it any more. It stays in its audiences until its
        transport, told by ``on_end``, takes it out of the hub: an audience
        that ends a member in the middle of a flush must not change under it.
        """
        if self.ended is None:
            self.ended = reason
            self._leave_shared_path()
            self._on_end(reason)

    def park(self, now: float) -> None:
        """Leave the shared path. A lossless audience in a flush sets the trail first."""
        self.stuck_at = now
        self._leave_shared_path()

    def _leave_shared_path(self) -> None:
        """From here on the place is the subscriber's own: its audience goes on without it."""
        self.parked = True
        if self.trail is None and self.reached is not None:
            self.trail = self.reached()

    def control(self, data: bytes, now: float) -> None:
        """Send an event outside the flow of updates, now or after what waits."""
        if self.ended is not None:
            return
        try:
            if not self.parked and not self.pipe.get_write_buffer_size():
                self.pipe.write(data)
                self.written_at = now
                return
        except OSError:
            self.end(closing.LOST)
            return
        # Behind a head that waits, not before it: commands are answered in order.
        head = self.openings[-1].head if self.openings else None
        self._wait(head or self.controls, data)

    def reset(self, data: bytes) -> None:
        """Tell a parked client of a lost stream before any cursor, which is one of the new."""
        if self.ended is None:
            self.resets += (data,)
            self._wait(self.controls, data)

    def _wait(self, where: list[bytes], data: bytes) -> None:
        if self.events_waiting >= CONTROLS_MAX:
            self.end(closing.STALLED)
            return
        where.append(data)
        self._on_owed(self)

    def open(self, opening: Opening) -> None:
        """Send an opening, after what waits."""
        if len(self.openings) >= OPENINGS_MAX:
            self.end(closing.STALLED)
            return
        self.openings.append(opening)
        self._on_owed(self)

    def offer(self, updates: Iterable[Update]) -> None:
        """Queue lossless updates for this slow reader; full means ``slow``."""
        if self.ended is not None:
            return
        if self.replay is not None:
            return  # they are in the history that it is reading
        assert self.queue is not None
        try:
            for update in updates:
                self.queue.put(update, update.size)
        except QueueFull:
            self.end(closing.SLOW)

    def drop_feed(self, feed: Feed) -> None:
        """Forget what waits of a feed whose stream was lost."""
        self._filter(lambda update: update.channel.feed is not feed)

    def keep_only(self, channels: set[Channel]) -> None:
        """Forget what waits of all other channels: the client does not want it."""
        self.marks.retain(channels)
        for opening in self.openings:
            opening.snapshot.retain(channels)
        self._filter(lambda update: update.channel in channels)

    def _filter(self, keep: Callable[[Update], bool]) -> None:
        for index, opening in enumerate(self.openings):
            self.openings[index] = opening.only(keep)
        queue = self.queue
        if queue is None:
            return
        kept = [update for update in queue if keep(update)]
        queue.clear()
        for update in kept:
            queue.put(update, update.size)

    def step(self, now: float) -> int:
        """Write the next slice to a parked subscriber, if its socket has drained.

        Raises :class:`OSError` if its connection is gone.
        Returns the bytes written. When nothing is left to write it is no longer
        ``parked``.
        """
        left = self.pipe.get_write_buffer_size()
        if left != self.stuck_bytes or not left:
            self.stuck_bytes = left
            self.stuck_at = now
        if left:
            if self.replay is not None and now - self.stuck_at > REPLAY_STALL_S:
                self.replay.stop()  # others wait for its place
            return 0
        parts = [*self.controls]
        self.controls.clear()
        # One or the other, so that a step stays within its bytes.
        if self.openings:
            self._open(parts)
        else:
            self._flow(parts)
        data = b"".join(parts)
        if data:
            self.pipe.write(data)
            if self.resets:
                self.resets = tuple(event for event in self.resets if event not in parts)
            self.written_at = self.stuck_at = now
            self.stuck_bytes = self.pipe.get_write_buffer_size()
        if self.ended is None and not self._owes():
            self.parked = False
            self.trail = None
        return len(data)

    @property
    def events_waiting(self) -> int:
        """What it must be told before it is sent new values."""
        return len(self.controls) + sum(len(opening.head) or 1 for opening in self.openings)

    @property
    def is_behind_events(self) -> bool:
        """Whether it is over, or something else comes before new values."""
        return self.ended is not None or bool(self.openings or self.controls)

    def _owes(self) -> bool:
        return bool(
            self.awaits_flush
            or self.controls
            or self.openings
            or self.replay is not None
            or self.queue
            or self.marks
        )

    def _open(self, parts: list[bytes]) -> None:
        """Head, snapshots and end of the openings, as far as a slice goes."""
        budget = STEP_BYTES
        while self.openings and budget > 0:
            opening = self.openings[0]
            parts += opening.head
            opening.head.clear()
            budget -= self._snapshot(opening, budget, parts)
            if budget > 0:
                cursor = None if self.trail is None else self.trail.text()
                parts.append(opening.end(cursor))
                del self.openings[0]

    def _snapshot(self, opening: Opening, size_most: int, parts: list[bytes]) -> int:
        """A slice of the opening's snapshot; its size, below ``size_most`` if it was the last."""
        size = 0
        while size < size_most and (updates := opening.take(size_most - size)):
            due, is_done = cut_at(updates, self.until)
            parts.append(self.format.snapshot(due))
            self.updates += len(due)
            size += sum(update.size for update in due)
            if is_done:
                self._done_at(due[-1], opening, parts)
                return size_most
        return size

    def _done_at(self, last: Update, opening: Opening, parts: list[bytes]) -> None:
        """The stream's end was in the snapshot: leave the cursor there, so that it is known."""
        if self.trail is not None and last.place is not None:
            self.trail.jump({last.channel.feed.name: last.place})
            parts.append(opening.end(self.trail.text()))
        self.openings.clear()
        self.end(closing.DONE)

    def _flow(self, parts: list[bytes]) -> None:
        """A slice of what was missed, then of the queue, then of the newest values."""
        if self.replay is not None:
            try:
                missed, is_all = self.replay.take(STEP_BYTES)
            except QueueFull:
                self.end(closing.SLOW)
                return
            self._lossless(missed, parts)
            if is_all:
                self.replay = None
        elif self.queue:
            self._lossless(self.queue.take(STEP_BYTES), parts)
        if self.marks and self.ended is None:
            updates = newest(self.marks, STEP_BYTES)
            if updates:
                parts.append(self.format.live(updates, None))
                self.updates += len(updates)

    def _lossless(self, updates: Sequence[Update], parts: list[bytes]) -> None:
        updates, is_done = cut_at(updates, self.until)
        if updates:
            parts.append(self.format.live(updates, self.trail))
            self.updates += len(updates)
        if is_done:
            self.end(closing.DONE)


def cut_at(updates: Sequence[Update], until: str | None) -> tuple[Sequence[Update], bool]:
    """The updates up to and with the first of type ``until``, and whether it came."""
    if until is not None:
        for index, update in enumerate(updates):
            if update.type == until:
                return updates[: index + 1], True
    return updates, False
