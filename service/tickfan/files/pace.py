"""When each row of a file is due, and which rows go together.

Must not know what carries the rows, nor how a file is read.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tickfan.files.reader import Row

NOTICE_S = 30.0
"""Of a longer wait for the next row somebody is told."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast rows go, and when it ends.

    ``speed`` says how many times as fast as it happened; 0 is as fast as can be, whatever
    the times are. A wait for the next row is cut to ``max_gap_s`` seconds. It ends after
    ``count`` rows, or ``seconds``.
    """

    speed: float = 1.0
    max_gap_s: float | None = None
    count: int | None = None
    seconds: float | None = None


class Wait(NamedTuple):
    """A row that is not due for a while: in so many seconds."""

    row: Row
    seconds: float


class _Schedule:
    """When a row is due, in seconds since the first one was."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._first_ts: int | None = None
        self._cut = 0.0
        self._before = 0.0

    def due(self, row: Row) -> float:
        if not self._pace.speed:
            return 0.0
        if self._first_ts is None:
            self._first_ts = row.ts
        at = (row.ts - self._first_ts) / 1000 / self._pace.speed - self._cut
        gap = self._pace.max_gap_s
        if gap is not None and at - self._before > gap:
            self._cut += at - self._before - gap
            at = self._before + gap
        self._before = at
        return at


async def run(
    more: Callable[[], Awaitable[list[Row]]],
    send: Callable[[list[Row]], Awaitable[None]],
    pace: Pace,
    on_wait: Callable[[Wait], None],
) -> bool:
    """Hand the rows to ``send`` in their order, each when it is due, those together that are.

    ``more`` returns the next rows, and none at the end. Returns True after the last row, and
    False if ``count`` or ``seconds`` ended it. What ``more`` and ``send`` raise goes through.
    """
    clock = asyncio.get_running_loop().time
    begin = clock()
    schedule = _Schedule(pace)
    limit = math.inf if pace.seconds is None else pace.seconds
    left = pace.count
    while rows := await more():
        if left is not None:
            rows = rows[:left]
            left -= len(rows)
        sent = 0
        for place, row in enumerate(rows):
            at = schedule.due(row)
            is_over = max(at, clock() - begin) >= limit
            wait = begin + min(at, limit) - clock()
            if (wait > 0 or is_over) and sent < place:
                await send(rows[sent:place])
                sent = place
            if wait > NOTICE_S and not is_over:
                on_wait(Wait(row, wait))
            if wait > 0:
                await asyncio.sleep(wait)
            if is_over:
                return False
        await send(rows[sent:])
        if left == 0:
            return False
        await asyncio.sleep(0)  # the other tasks have their turn, whatever send does
    return True
