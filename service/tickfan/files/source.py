"""Where the next rows come from: straight from a file, or from a thread that waits on a pipe.

Each source has ``more``, which returns the next few rows, none at the end, and raises what
the reading raised once the rows before it were returned. Must not know what a row is, nor
when it is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

TOGETHER_MAX = 500
"""Rows that are returned at once."""
AHEAD_MAX = 4096
"""Rows that are read of a pipe before they are asked for."""


class _End:
    """What stands behind the last row: why there is no more."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class FromFile(Generic[T]):
    """The rows of a file: it does not keep anybody waiting, so it is read where it is asked."""

    def __init__(self, rows: Iterator[T]) -> None:
        self._rows = rows
        self._error: Exception | None = None

    async def more(self) -> list[T]:
        """The next rows."""
        if self._error is not None:
            raise self._error
        some: list[T] = []
        try:
            for row in self._rows:
                some.append(row)
                if len(some) == TOGETHER_MAX:
                    break
        except Exception as error:
            if not some:
                raise
            self._error = error
        return some


class FromPipe(Generic[T]):
    """The rows of a pipe, read by a thread: nothing else waits while nothing comes.

    The thread is no reason for the process to stay: a pipe may never end.
    """

    def __init__(self, rows: Iterator[T]) -> None:
        """Must be made while the loop runs that will ask for the rows."""
        self._rows = rows
        self._loop = asyncio.get_running_loop()
        self._read: deque[T | _End] = deque()
        self._more = asyncio.Event()
        self._is_awaited = False
        self._room = threading.Semaphore(AHEAD_MAX)
        threading.Thread(target=self._run, name="reads a pipe", daemon=True).start()

    async def more(self) -> list[T]:
        """The rows that are there, or the next one as soon as it is."""
        while not self._read:
            self._more.clear()
            self._is_awaited = True
            if not self._read:  # the thread may not have seen yet that somebody waits
                await self._more.wait()
            self._is_awaited = False
        some: list[T] = []
        while self._read and len(some) < TOGETHER_MAX:
            row = self._read.popleft()
            if isinstance(row, _End):
                self._read.appendleft(row)
                if row.error is not None and not some:
                    raise row.error
                break
            some.append(row)
        if some:
            self._room.release(len(some))
        return some

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            for row in self._rows:
                self._room.acquire()
                self._hand_over(row)
        except BaseException as raised:  # noqa: BLE001 - whoever asks for the rows gets it
            error = raised
        self._hand_over(_End(error))

    def _hand_over(self, row: T | _End) -> None:
        self._read.append(row)
        if self._is_awaited:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._more.set)
