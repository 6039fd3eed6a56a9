"""Runs short jobs, so that nothing holds the event loop for long, and measures what did.

Must not know what a job does.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from tickfan.core.tally import Histogram

T = TypeVar("T")

SLICE_S = 0.002
"""How long jobs may run before the loop gets its turn.

The last job may begin at the end of it: an audience's flush takes 3 to 6 ms for 500 members.
So the jobs hold the loop for less than 20 ms."""


class Slices:
    """Runs jobs in order, a slice of time in each turn of the loop."""

    __slots__ = ("_began", "_handle", "_jobs", "_loop", "_stopwatch", "longest_s")

    def __init__(self, loop: asyncio.AbstractEventLoop, stopwatch: Callable[[], float]) -> None:
        """``stopwatch`` in seconds, not the loop's clock: uvloop's stands still within a turn."""
        self._loop = loop
        self._stopwatch = stopwatch
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
        stopwatch = self._stopwatch
        began = now = stopwatch()
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
                now = stopwatch()
        finally:
            # After a job that failed, too: the others are still due. And once more without
            # jobs, to see how long this turn took.
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


PULSE_S = 0.1
"""How often the loop's lag is looked at."""


class Pulse:
    """Notes how late a timer of the loop is, while it is started."""

    def __init__(self, loop: asyncio.AbstractEventLoop, lags: Histogram) -> None:
        """``lags`` takes seconds that a due timer had to wait."""
        self._loop = loop
        self._lags = lags
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def start(self) -> None:
        """Begin to look."""
        self._due = self._loop.time() + PULSE_S
        self._timer = self._loop.call_at(self._due, self._look)

    def stop(self) -> None:
        """No more looks."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Note how late this look is.

        A look that was missed altogether counts too, with what was left of the wait
        then. So the quantiles are those of a moment taken at random.
        """
        lag = self._loop.time() - self._due
        while True:
            self._lags.observe(max(0.0, lag))
            self._due += PULSE_S
            lag -= PULSE_S
            if lag < 0:
                break
        self._timer = self._loop.call_at(self._due, self._look)
