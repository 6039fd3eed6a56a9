"""Runs work of many small steps, which may take long: one piece in each turn of the loop.

Flushes and commands wait for one piece in a turn, however much work there is. Must not
know what the steps do.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from tickfan.fanout.slices import Slices

PIECE_S = 0.001
"""How long one piece may take; the last step may begin at the end of it."""


class Background:
    """Takes the steps of all work in turns."""

    __slots__ = ("_is_queued", "_loop", "_slices", "_stopwatch", "_work")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, slices: Slices, stopwatch: Callable[[], float]
    ) -> None:
        self._loop = loop
        self._stopwatch = stopwatch
        self._slices = slices
        self._work: deque[tuple[Iterator[None], asyncio.Future[None]]] = deque()
        self._is_queued = False

    def __len__(self) -> int:
        return len(self._work)

    def run(self, steps: Iterator[None]) -> asyncio.Future[None]:
        """Take all steps; the future is done after the last. To cancel it ends the work."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._work.append((steps, future))
        if not self._is_queued:
            self._is_queued = True
            self._slices.add(self._piece)
        return future

    def stop(self) -> None:
        """Give up what is not done."""
        for _, future in self._work:
            future.cancel()
        self._work.clear()
        self._is_queued = False

    def _piece(self) -> None:
        if not self._work:  # it was stopped
            self._is_queued = False
            return
        steps, future = self._work.popleft()
        try:
            if not future.done() and self._take(steps):
                self._work.append((steps, future))
            elif not future.done():
                future.set_result(None)
        except Exception as error:  # noqa: BLE001 - it is for the one that waits
            future.set_exception(error)
        if self._work:
            # In the next turn, behind what has come meanwhile.
            self._loop.call_soon(self._slices.add, self._piece)
        else:
            self._is_queued = False

    def _take(self, steps: Iterator[None]) -> bool:
        """Take steps for as long as a piece may take; whether there may be more."""
        end = self._stopwatch() + PIECE_S
        return any(self._stopwatch() >= end for _ in steps)
