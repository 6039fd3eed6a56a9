"""Runs work of many small steps, which may take long: one piece in each turn of the loop.

Flushes and commands wait for one piece in a turn, however much work there is. Searches of
subscriptions have one, and answers of REST another: neither waits for the other. Must not
know what the steps do.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from tickfan.fanout.slices import Slices

    Charge = Callable[[float], None] | None

PIECE_S = 0.001
"""How long one piece may take; the last step may begin at the end of it."""


TURN_PIECES = 100
"""How many pieces of one work follow each other before it is another's turn.

Few works need more. With short turns a hundred searches that come at once would all end
late, and each would hold meanwhile what it has found."""


class Background:
    """Takes the steps of all work in turns."""

    __slots__ = ("_is_queued", "_loop", "_pieces", "_slices", "_stopwatch", "_work")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, slices: Slices, stopwatch: Callable[[], float]
    ) -> None:
        self._loop = loop
        self._stopwatch = stopwatch
        self._slices = slices
        self._work: deque[tuple[Iterator[None], asyncio.Future[None], Charge]] = deque()
        self._is_queued = False
        self._pieces = 0  # of the first work, in its turn

    def __len__(self) -> int:
        return len(self._work)

    def run(self, steps: Iterator[None], charge: Charge = None) -> asyncio.Future[None]:
        """Take all steps; the future is done after the last. To cancel it ends the work.

        ``charge`` is told the seconds of each piece.
        """
        future: asyncio.Future[None] = self._loop.create_future()
        self._work.append((steps, future, charge))
        if not self._is_queued:
            self._is_queued = True
            self._slices.add(self._piece)
        return future

    def stop(self) -> None:
        """Give up what is not done."""
        for _, future, _ in self._work:
            future.cancel()
        self._work.clear()
        self._is_queued = False
        self._pieces = 0

    def _piece(self) -> None:
        if not self._work:  # it was stopped
            self._is_queued = False
            return
        steps, future, charge = self._work[0]
        try:
            is_over = future.done() or not self._take(steps, charge)
            if is_over and not future.done():
                future.set_result(None)
        except Exception as error:  # noqa: BLE001 - it is for the one that waits
            is_over = True
            future.set_exception(error)
        self._pieces += 1
        if is_over or self._pieces == TURN_PIECES:
            self._pieces = 0
            self._work.popleft()
            if not is_over:
                self._work.append((steps, future, charge))
        if self._work:
            # In the next turn, behind what has come meanwhile.
            self._loop.call_soon(self._slices.add, self._piece)
        else:
            self._is_queued = False

    def _take(self, steps: Iterator[None], charge: Charge) -> bool:
        """Take steps for as long as a piece may take; whether there may be more."""
        began = self._stopwatch()
        end = began + PIECE_S
        try:
            return any(self._stopwatch() >= end for _ in steps)
        finally:
            if charge is not None:
                charge(self._stopwatch() - began)
