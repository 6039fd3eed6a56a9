"""Serves the subscribers that are off the shared path: a loop goes over them while there are any.

Must not know why they are there, nor what they are owed.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from tickfan.core import closing
from tickfan.core.errors import Bound
from tickfan.fanout.subscriber import ENDED, OPENING, SHARED

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from tickfan.core.tally import Tally
    from tickfan.fanout.slices import Slices
    from tickfan.fanout.subscriber import Subscriber

POLL_S = 0.01
"""How often sockets that had not drained are looked at again.

A look costs under a microsecond, so a thousand stalled clients cost a tenth of a core at
most. A subscriber whose socket does drain is served again in the next turn."""


class Pump:
    """Steps every parked subscriber until it is back on the shared path."""

    __slots__ = (
        "_loop",
        "_parked",
        "_queued",
        "_slices",
        "_spent",
        "_stall_timeout_s",
        "_stopwatch",
        "_tally",
        "_timer",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        slices: Slices,
        tally: Tally,
        stopwatch: Callable[[], float],
        stall_timeout_s: float,
    ) -> None:
        """A subscriber whose socket takes nothing for ``stall_timeout_s`` ends."""
        self._loop = loop
        self._stopwatch = stopwatch
        self._slices = slices
        self._tally = tally
        self._stall_timeout_s = stall_timeout_s
        self._parked: dict[Subscriber, None] = {}
        # Seconds that went for events and snapshots, until somebody asks for them.
        self._spent: defaultdict[Subscriber, float] = defaultdict(float)
        self._queued = False
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._parked)

    def __iter__(self) -> Iterator[Subscriber]:
        return iter(self._parked)

    def serve(self, subscriber: Subscriber) -> None:
        """The subscriber has left the shared path: step it until it is back."""
        self._parked[subscriber] = None
        if not self._queued and self._timer is None:
            self._timer = self._loop.call_later(0, self._poll)

    def forget(self, subscriber: Subscriber) -> None:
        """The subscriber is gone."""
        self._parked.pop(subscriber, None)
        self._spent.pop(subscriber, None)

    def spent_on(self, subscriber: Subscriber) -> float:
        """Seconds of the loop's time that went for its snapshots, since this was last asked."""
        return self._spent.pop(subscriber, 0.0)

    def stop(self) -> None:
        """No more looks."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def step(self, subscriber: Subscriber, now: float) -> bool:
        """Give one subscriber a slice; returns whether it made progress."""
        if subscriber.phase is ENDED:
            self._parked.pop(subscriber, None)
            return False
        before, backlog = subscriber.updates, subscriber.backlog
        assert backlog is not None
        try:
            size = subscriber.step(now)
        except OSError:
            subscriber.end(closing.LOST)
            size = 0
        except Exception as error:  # noqa: BLE001 - a fault of ours: the others are still due
            self._loop.call_exception_handler(
                {"message": "a subscriber's step failed", "exception": error}
            )
            subscriber.end(closing.INTERNAL)
            size = 0
        self._tally.writes += size > 0
        self._tally.bytes_out += size
        self._tally.updates_out += subscriber.updates - before
        if not before and subscriber.updates:
            self._tally.first_update.observe(now - subscriber.opened_at)
        if subscriber.phase is SHARED:
            self._parked.pop(subscriber, None)
        elif not size and now - backlog.stuck_at > self._stall_timeout_s:
            subscriber.end(closing.STALLED, bound=Bound("stall_timeout_s", *backlog.waiting))
        return size > 0

    def _poll(self) -> None:
        """Queue a look at everybody, as one job each so that slices stay short."""
        self._timer = None
        self._queued = True
        self._round(list(self._parked), 0, progress=False)

    def _round(self, subscribers: list[Subscriber], start: int, *, progress: bool) -> None:
        now, index = self._loop.time(), start
        began = self._stopwatch()
        end = began + STEP_SLICE_S
        while index < len(subscribers) and began < end:
            subscriber = subscribers[index]
            if subscriber in self._parked:
                is_opening = subscriber.phase is OPENING
                progress = self.step(subscriber, now) or progress
                done = self._stopwatch()
                if is_opening:
                    self._spent[subscriber] += done - began
                began = done
            index += 1
        if index < len(subscribers):
            self._slices.add(lambda: self._round(subscribers, index, progress=progress))
            return
        self._queued = False
        if self._parked:
            self._timer = self._loop.call_later(0 if progress else POLL_S, self._poll)


STEP_SLICE_S = 0.003
"""How long one job of steps may take."""
