"""When audiences are flushed: timers that belong to intervals, not to clients.

:class:`Flusher` times the lossless flushes, :class:`TickGroup` the conflated
audiences that tick together. Each flush is a job of
:class:`~tickfan.fanout.slices.Slices`. Must not know what a flush does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from tickfan.core.changes import ChangeLog
    from tickfan.core.feed import Channel
    from tickfan.fanout.slices import Slices


class Flushable(Protocol):
    """What a flusher or a slot times: an audience."""

    flushed_at: float

    def flush(self) -> None:
        """Write what is pending to everybody."""


class Flusher:
    """Times the lossless audiences of one ``flush_ms``.

    An audience that has been quiet for that long is flushed at once, any other at the
    end of the window. So there is one write for each update when it is calm, and one for
    each burst when it is not.
    """

    __slots__ = ("_flush_s", "_later", "_loop", "_slices", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, slices: Slices, flush_ms: int) -> None:
        self._loop = loop
        self._slices = slices
        self._flush_s = flush_ms / 1000
        self._later: list[Flushable] = []
        self._timer: asyncio.TimerHandle | None = None

    def due(self, audience: Flushable) -> None:
        """The audience has its first pending update since its last flush."""
        if audience.flushed_at + self._flush_s <= self._loop.time():
            self._slices.add(audience.flush)
            return
        self._later.append(audience)
        if self._timer is None:
            self._timer = self._loop.call_later(self._flush_s, self._run)

    def at_once(self, audience: Flushable) -> None:
        """The audience has so much pending that it should not wait."""
        self._slices.add(audience.flush)

    def stop(self) -> None:
        """Forget the timer and what waits for it."""
        self._later.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run(self) -> None:
        self._timer = None
        audiences, self._later = self._later, []
        for audience in audiences:
            self._slices.add(audience.flush)


class Slot:
    """A share of one interval's audiences, which tick together.

    The audiences of an interval are spread over several slots, so that the work is
    spread over the interval. A slot without audiences has no timer.
    """

    __slots__ = ("_interval_s", "_loop", "_next", "_phase_s", "_tick", "_timer")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        interval_ms: int,
        phase: float,
        tick: Callable[[], None],
    ) -> None:
        """``phase`` from 0 to 1: where in the interval this slot ticks."""
        self._loop = loop
        self._interval_s = interval_ms / 1000
        self._phase_s = phase * self._interval_s
        self._tick = tick
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0.0

    def start(self) -> None:
        """Tick from now on, at the slot's place in each interval."""
        if self._timer is None:
            now = self._loop.time()
            self._next = now - now % self._interval_s + self._phase_s
            if self._next <= now:
                self._next += self._interval_s
            self._timer = self._loop.call_at(self._next, self._run)

    def stop(self) -> None:
        """No more ticks."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run(self) -> None:
        # Counted from the due time, not from now: a late tick does not make the next ones
        # late. Ticks that were missed altogether are skipped in whole intervals, so the
        # slots are still spread after the loop was held.
        missed = max(0.0, self._loop.time() - self._next) // self._interval_s
        self._next += (missed + 1) * self._interval_s
        self._timer = self._loop.call_at(self._next, self._run)
        self._tick()


class Ticking(Flushable, Protocol):
    """What ticks: a conflated audience."""

    def note(self, changed: set[Channel], moment: int) -> bool:
        """Note what has changed up to ``moment``; whether a flush is to be made."""


class TickGroup:
    """The conflated audiences that tick together: one slot and its last visit."""

    __slots__ = ("_changes", "_loop", "_seen", "_slices", "audiences", "slot")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        slices: Slices,
        changes: ChangeLog[Channel],
        interval_ms: int,
        phase: float,
    ) -> None:
        self._loop = loop
        self._slices = slices
        self._changes = changes
        self._seen = 0
        self.audiences: dict[Ticking, None] = {}
        self.slot = Slot(loop, interval_ms, phase, self.tick)

    def add(self, audience: Ticking) -> None:
        """Let the audience tick here."""
        if not self.audiences:
            self._seen = self._changes.seal()
            self.slot.start()
        self.audiences[audience] = None

    def remove(self, audience: Ticking) -> None:
        """Let it tick here no more."""
        del self.audiences[audience]
        if not self.audiences:
            self.slot.stop()

    def unseen(self) -> set[Channel]:
        """What has changed since the last tick."""
        return set(self._changes.since(self._seen))

    def tick(self) -> None:
        """Let each audience take what has changed since the last tick."""
        changed = self.unseen()
        self._seen = self._changes.seal()
        if changed:
            for audience in self.audiences:
                if audience.note(changed, self._seen):
                    self._slices.add(audience.flush)
