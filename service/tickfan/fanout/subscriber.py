"""One client: the phase that it is in, and what may follow what.

On the shared path its audiences write to its socket. In every other phase it is
owed something that is its own, and the pump serves it by :meth:`Subscriber.step`,
a slice at a time as its socket drains. A client that joins or resumes leaves the
shared path on purpose: slow, new and resuming clients are one mechanism.

All that changes its phase is a method here; the shared path (sharing.py) counts what it
writes in the subscriber itself. Must not know how audiences flush, wires, or other clients.
"""

from __future__ import annotations

from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING

from tickfan.core import closing
from tickfan.core.errors import QueueFull
from tickfan.fanout.backlog import Backlog, Replay
from tickfan.fanout.serving import next_slice

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from tickfan.core.bounded import BoundedQueue
    from tickfan.core.closing import Reason
    from tickfan.core.cursor import Place, Trail
    from tickfan.core.errors import Bound
    from tickfan.core.feed import Channel, Feed
    from tickfan.core.update import Update
    from tickfan.fanout.openings import Opening
    from tickfan.fanout.ports import Lossless, Pipe
    from tickfan.wire.base import Format


class Phase(Enum):
    """What a subscriber is owed first."""

    SHARED = "shared"  # nothing: its audiences write to its socket
    OPENING = "opening"  # events, or the head and the snapshots of a subscription
    REPLAYING = "replaying"  # what it missed, out of the history
    BACKLOG = "backlog"  # updates that wait for its socket, or only that it drains
    AWAITING_FLUSH = "awaiting_flush"  # its audience's next flush, whose beginning it has
    ENDED = "ended"  # nothing any more: its transport says goodbye

    # Enum's own is in Python, and looks the name up: a connect asks for it eight times.
    __hash__ = object.__hash__


SHARED, OPENING, REPLAYING, BACKLOG, AWAITING_FLUSH, ENDED = Phase

FOLLOWS: dict[Phase, set[Phase]] = {
    # Whatever it is owed, it steps aside first.
    SHARED: {BACKLOG, ENDED},
    OPENING: {REPLAYING, BACKLOG, AWAITING_FLUSH, SHARED, ENDED},
    # A resume comes with an opening, so no other phase leads here.
    REPLAYING: {OPENING, BACKLOG, AWAITING_FLUSH, SHARED, ENDED},
    BACKLOG: {OPENING, AWAITING_FLUSH, SHARED, ENDED},
    # The flush comes first; a step leads back to the shared path.
    AWAITING_FLUSH: {OPENING, BACKLOG, ENDED},
    ENDED: set(),
}
"""What may follow what."""

REPLAY_STALL_S = 0.5
"""A resuming client that takes nothing for so long lets the next one resume."""


class Subscriber:
    """One connection.

    ``on_end`` is called once, when the hub ends it. ``serve`` is called when it leaves the
    shared path: it is served by :meth:`step` then. ``clock`` is the loop's. ``until`` is the
    type of the update that ends its stream.
    """

    __slots__ = (
        "_clock", "_conflated", "_on_end", "_serve", "audience", "backlog", "bound", "ended",
        "format", "opened_at", "phase", "pipe", "until", "updates", "written_at",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - one call, all by name
        self,
        format: Format,  # noqa: A002 - the field's word
        pipe: Pipe,
        on_end: Callable[[Reason], None],
        serve: Callable[[Subscriber], None],
        *,
        clock: Callable[[], float],
        until: str | None = None,
    ) -> None:
        self.format = format
        self.pipe = pipe
        self.until = until
        self._on_end = on_end
        self._serve = serve
        self._clock = clock
        self.phase = SHARED
        self.ended: Reason | None = None
        self.bound: Bound | None = None  # the one that it was ended for
        self.audience: Lossless | None = None  # the lossless one, if it has one
        self.backlog: Backlog | None = None  # none on the shared path
        self.updates = 0
        self._conflated = 0
        self.opened_at = self.written_at = clock()

    @property
    def cursor(self) -> str | None:
        """How far the client has been given its lossless feeds.

        None if it has none, and while a ``reset`` or a full state waits: the one it has is right.
        """
        backlog = self.backlog
        if backlog is not None and (backlog.resets or backlog.trail is not None):
            return None if backlog.resets else backlog.cursor()
        return None if self.audience is None else self.audience.reached().text()

    @property
    def events_waiting(self) -> int:
        """What it must be told before it is sent new values."""
        return 0 if self.backlog is None else self.backlog.events_waiting

    @property
    def conflated(self) -> int:
        """Updates that it was not sent one by one: newer ones replaced them."""
        return self._conflated + (0 if self.backlog is None else self.backlog.marks.conflated)

    def control(self, data: bytes) -> None:
        """Send an event outside the flow of updates, now or after what waits."""
        if self.phase is ENDED:
            return
        try:
            if self.phase is SHARED and not self.pipe.get_write_buffer_size():
                self.pipe.write(data)
                self.written_at = self._clock()
                return
        except OSError:
            self.end(closing.LOST)
            return
        self._add_event(self.step_aside(), data)

    def fall_behind(self, place: Trail, updates: Sequence[Update]) -> None:
        """Its socket took nothing of a lossless flush: queue it. ``place`` is before it."""
        self.step_aside(place)
        self.owe(updates)

    def owe(self, updates: Sequence[Update]) -> None:
        """Its audience flushes these lossless updates, or it leaves the audience with them."""
        backlog = self.backlog
        assert backlog is not None, "on the shared path a flush is written"
        if self.phase is ENDED:
            return
        try:
            backlog.owe(updates)
        except QueueFull as full:
            self.end(closing.SLOW, bound=full.bound)
            return
        self._note_owed(backlog)

    def owe_newest(self, channels: Iterable[Channel]) -> None:
        """It has not got the newest values of these conflated channels."""
        backlog = self.step_aside()
        backlog.marks.mark_all(channels)
        self._note_owed(backlog)

    def take_newest(self, frame: bytes, channels: Sequence[Channel], now: float) -> bool:
        """Write newest values that its audience has written to the others, if it may be.

        What it is behind in does not grow then, or many who fell behind together, and are
        served one by one, would never catch up. Raises :class:`OSError`.
        """
        if self.phase is not OPENING and self.phase is not ENDED:
            with suppress(BlockingIOError):
                if (sent := self.pipe.send(frame)) != len(frame):
                    self.pipe.write(frame[sent:])
                self.step_aside().marks.forget(channels)
                self.updates += len(channels)
                self.written_at = now
                return True
        self.owe_newest(channels)
        return False

    def open(self, opening: Opening, channels: Collection[Channel]) -> None:
        """Send an opening, after what waits. ``channels`` are those of its latest values.

        It is kept also if joining the audience ended the subscriber: the last cursor must
        not be one behind what the opening would have brought.
        """
        backlog = self.step_aside()
        try:
            backlog.add_opening(opening, channels)
        except QueueFull as full:
            self.end(closing.STALLED, bound=full.bound)
            return
        self._note_owed(backlog)

    def keep_only(self, keep: Callable[[Channel], bool]) -> None:
        """Forget what waits of all other channels: the client does not want it."""
        if self.backlog is not None:
            self.backlog.keep_only(keep)

    def join(self, audience: Lossless) -> None:
        """Belong to this lossless audience from now on, at the place that it has reached itself.

        It has stepped aside, and has left the audience before. What is pending here is not due.
        """
        backlog = self.step_aside()
        self.audience = audience
        try:
            backlog.move_to(audience)
        except QueueFull as full:
            self.end(closing.SLOW, bound=full.bound)
            return
        self._note_owed(backlog)

    def leave_lossless(self) -> None:
        """Belong to no lossless audience any more."""
        self.audience = None
        if self.backlog is not None:
            self.backlog.drop_lossless()
            self._note_owed(self.backlog)

    def resume(self, places: Mapping[str, Place], replay: Replay) -> None:
        """Read what was missed since ``places``, by feed. Its opening follows at once."""
        backlog = self.backlog
        assert backlog is not None
        assert backlog.trail is not None
        for name, place in places.items():
            backlog.trail.set(name, place)
        backlog.replay = replay

    def lose_stream(self, feed: Feed) -> str | None:
        """Forget what is owed of a feed whose stream was lost; the cursor after that.

        It leaves the shared path, so that nothing of the new stream comes before ``reset``.
        """
        backlog = self.step_aside()
        backlog.drop_feed(feed)
        if backlog.replay is not None:
            backlog.replay.restart(feed)
        assert backlog.trail is not None
        backlog.trail.jump({feed.name: feed.place})
        return backlog.cursor()

    def reset(self, data: bytes) -> None:
        """Tell of a lost stream, before any cursor: the next one is of the new stream."""
        if self.phase is not ENDED:
            self._add_event(self.step_aside(), data, is_reset=True)

    def end(self, reason: Reason, place: Trail | None = None, bound: Bound | None = None) -> None:
        """Close for ``reason``; the first reason counts. ``bound`` is the one that it reached.

        ``place`` is what the client has reached, if that is not what its audience has. Nothing
        is written to it any more. It stays in its audiences until its transport, told by
        ``on_end``, takes it out of the hub: an audience must not change in the middle of a flush.
        """
        if self.phase is not ENDED:
            self.bound = bound
            self.leave(reason, place)
            self._on_end(reason)

    def leave(self, reason: Reason, place: Trail | None = None) -> Reason:
        """As :meth:`end`, for a transport that knows; returns the reason that counts."""
        if self.ended is None:
            self.ended = reason
            # From here on its place is its own: its audience goes on, and queues nothing for it.
            backlog = self.backlog = self.backlog or self._new_backlog(place, None)
            if backlog.replay is not None:
                backlog.replay.stop()
            self._enter(ENDED)
        return self.ended

    def step(self, now: float) -> int:
        """Write the next slice to a parked subscriber, if its socket has drained.

        Returns the bytes written. When nothing is left it is back on the shared path.
        Raises :class:`OSError` if its connection is gone.
        """
        backlog = self.backlog
        assert backlog is not None
        left = self.pipe.get_write_buffer_size()
        if left != backlog.stuck_bytes or not left:
            backlog.stuck_bytes = left
            backlog.stuck_at = now
        if left:
            if backlog.replay is not None and now - backlog.stuck_at > REPLAY_STALL_S:
                backlog.replay.stop()  # others wait for its place
            return 0
        parts, count, over, bound = next_slice(backlog, self.format, self.until, self.audience)
        self.updates += count
        if over is not None:
            self.end(over, bound=bound)
        data = b"".join(parts)
        if data:
            self.pipe.write(data)
            backlog.sent(parts)
            self.written_at = backlog.stuck_at = now
            backlog.stuck_bytes = self.pipe.get_write_buffer_size()
        if self.phase is not ENDED:
            self._enter(_first_owed(backlog))
            if self.phase is SHARED:
                self._conflated += backlog.marks.conflated
                self.backlog = None
        return len(data)

    def step_aside(self, place: Trail | None = None) -> Backlog:
        """Leave the shared path, if it is there; returns what waits for it."""
        backlog = self.backlog
        if backlog is None:
            queue = None if self.audience is None else self.audience.queue()
            backlog = self.backlog = self._new_backlog(place, queue)
            self._enter(BACKLOG)
            self._serve(self)
        return backlog

    def _new_backlog(self, place: Trail | None, queue: BoundedQueue[Update] | None) -> Backlog:
        if place is None and self.audience is not None:
            place = self.audience.reached()
        return Backlog(place, queue, self._clock())

    def _add_event(self, backlog: Backlog, data: bytes, *, is_reset: bool = False) -> None:
        try:
            backlog.add_event(data, is_reset=is_reset)
        except QueueFull as full:
            self.end(closing.STALLED, bound=full.bound)
            return
        self._note_owed(backlog)

    def _note_owed(self, backlog: Backlog) -> None:
        """Enter the phase of what is owed now; the shared path is entered by a step alone."""
        if self.phase is not ENDED:
            owed = _first_owed(backlog)
            self._enter(BACKLOG if owed is SHARED else owed)

    def _enter(self, phase: Phase) -> None:
        if phase is not self.phase:
            assert phase in FOLLOWS[self.phase], f"{phase} does not follow {self.phase}"
            self.phase = phase


def _first_owed(backlog: Backlog) -> Phase:
    """What comes first of all that waits."""
    if backlog.controls or backlog.openings:
        return OPENING
    if backlog.replay is not None:
        return REPLAYING
    if backlog.queue or backlog.marks:
        return BACKLOG
    return AWAITING_FLUSH if backlog.skip else SHARED
