"""When things are written: timers that belong to intervals, not to clients.

Every flush is a job of :class:`Slices`, which never holds the loop for long;
:class:`Flusher` times the lossless flushes, :class:`Slot` a share of the
audiences of one interval. Must not know what a job does.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

T = TypeVar("T")

SLICE_S = 0.002
"""How long jobs may run before the loop gets its turn.

The last one may begin at the end of it: an audience's flush, 3 to 6 ms for its
500 members. So the loop is not held for the 20 ms that the design allows."""


class Slices:
    """Runs jobs in order, a slice of time in each turn of the loop."""

    __slots__ = ("_began", "_handle", "_jobs", "_loop", "longest_s")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._jobs: deque[Callable[[], None]] = deque()
        self._handle: asyncio.Handle | None = None
        self._began: float | None = None
        # The longest turn of the loop that ran jobs, whatever else it did.
        self.longest_s = 0.0

    def add(self, job: Callable[[], None]) -> None:
        """Run ``job`` in this or a next turn of the loop, after those before it."""
        self._jobs.append(job)
        if self._handle is None:
            self._handle = self._loop.call_soon(self._run)

    def run(self, job: Callable[[], T]) -> asyncio.Future[T]:
        """As :meth:`add`; the future brings what the job returned or raised."""
        future: asyncio.Future[T] = self._loop.create_future()
        self.add(partial(_settle, future, job))
        return future

    def stop(self) -> None:
        """Drop what has not run."""
        self._jobs.clear()
        self._began = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _run(self) -> None:
        jobs = self._jobs
        # Not the loop's clock: uvloop's stands still within a turn.
        began = now = perf_counter()
        if self._began is not None:
            self.longest_s = max(self.longest_s, began - self._began)
        if not jobs:
            self._began = self._handle = None
            return
        self._began = began
        # The handle stays set meanwhile, so that a job that adds jobs does not
        # bring a second slice into the next turn.
        try:
            while jobs and now - began < SLICE_S:
                jobs.popleft()()
                now = perf_counter()
        finally:
            # Also after a job that failed: the others are still due. And once more
            # without jobs, to see how long this turn took.
            self._handle = self._loop.call_soon(self._run)


def _settle(future: asyncio.Future[T], job: Callable[[], T]) -> None:
    if future.done():  # nobody waits any more
        return
    try:
        result = job()
    except Exception as error:
        if future.done():  # the job may have ended the wait
            raise
        future.set_exception(error)
    else:
        if not future.done():
            future.set_result(result)


class Flushable(Protocol):
    """What a flusher or a slot times: an audience."""

    flushed_at: float

    def flush(self) -> None:
        """Write what is pending to everybody."""


class Flusher:
    """Times the lossless audiences of one ``flush_ms``.

    At once when an audience has been quiet for that long, else at the end of
    the window: one write an update when it is calm, one a burst when not.
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
    """A share of one interval's audiences, ticking together.

    The audiences of an interval are spread over several slots, so that the
    work of a tick is spread over the interval. A slot without audiences has
    no timer.
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
        # From the due time, not from now: a late tick does not make all
        # following ones late. Ticks that were missed altogether are skipped,
        # in whole intervals: after the loop was held, slots are still spread.
        missed = max(0.0, self._loop.time() - self._next) // self._interval_s
        self._next += (missed + 1) * self._interval_s
        self._timer = self._loop.call_at(self._next, self._run)
        self._tick()
