"""Asks all clients to leave: for the end of the process, or because an operator wants it.

Must not know how a client is told, nor who asked.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tickfan.core import closing

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickfan.clock import Clock
    from tickfan.session.connections import Connections


class Draining:
    """Whether newcomers are turned away, and how those that are here are told to go."""

    def __init__(
        self,
        connections: Connections,
        clock: Clock,
        wake: Callable[[], None],
        *,
        delay_s: float,
        spread_s: float,
    ) -> None:
        """By hand clients are told ``delay_s`` after newcomers, spread over ``spread_s``.

        ``wake`` lets those hear of it who wait to come in.
        """
        self._wake = wake
        self.is_on = False
        self._connections = connections
        self._clock = clock
        self._delay_s = delay_s
        self._spread_s = spread_s
        self._is_final = False
        self._task: asyncio.Task[None] | None = None

    def refuse_new(self) -> None:
        """Turn newcomers away, for good."""
        self.is_on = self._is_final = True
        self._wake()

    async def tell_all(self, spread_s: float) -> None:
        """Ask every client to leave, spread over ``spread_s`` with jitter; wait for none.

        A herd that is told at once comes back at once.
        """
        begin = self._clock.time()
        leaving = sorted(self._connections, key=lambda _: self._clock.chance())
        for index, connection in enumerate(leaving):
            due = begin + spread_s * index / len(leaving)
            if (wait := due - self._clock.time()) > 0:
                await asyncio.sleep(wait)
            connection.subscriber.end(closing.DRAIN)

    def begin(self) -> None:
        """Turn newcomers away, and tell the others to go. Idempotent."""
        if not self.is_on:
            self.is_on = True
            self._wake()
            self._task = asyncio.get_running_loop().create_task(self._by_hand())

    def take_back(self) -> bool:
        """Let clients come in again; False if the process is about to end."""
        self.stop()
        self.is_on = self._is_final
        return not self.is_on

    def stop(self) -> None:
        """Tell nobody any more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    async def _by_hand(self) -> None:
        await asyncio.sleep(self._delay_s)
        await self.tell_all(self._spread_s)
