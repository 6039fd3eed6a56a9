"""Publishes with many confirms in flight: in order, within a bound, and through outages.

When the broker goes away it waits, and sends again what was not confirmed. Must not know
where messages come from, nor who watches.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tickfan.broker.base import BrokerDown, PublishError, TopologyError, Unanswered, Unroutable
from tickfan.market.simulated import updates_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickfan.broker.base import Message, Publishing

    Away = BrokerDown | Unanswered | TopologyError

IN_FLIGHT_MAX = 512
"""Messages that may wait for their confirm; a further one waits for its turn."""

WAIT_FIRST_S = 0.25
WAIT_MAX_S = 3.0
"""Between two looks for the broker. The wait doubles from the first of these to the second."""

AWAY = (BrokerDown, Unanswered, TopologyError)
"""The broker is not there, or was lost before it confirmed."""


class Outcome:
    """What became of the updates that were published, in updates."""

    def __init__(self) -> None:
        self.published = 0
        self.messages = 0
        self.confirmed = 0
        self.unroutable = 0
        self.failed = 0
        self.unroutable_feeds: set[str] = set()
        self.again = 0  # sent more than once, and perhaps there more than once
        self.again_feeds: set[str] = set()
        self.why: str | None = None  # the first failure, in words
        self.unconfirmed_row: int | None = None  # of a file: the first that nobody confirmed

    def fail(self, updates: int, row: int | None) -> None:
        """Count updates that were not confirmed, the first of which is ``row`` of a file."""
        self.failed += updates
        if row is not None and (self.unconfirmed_row is None or row < self.unconfirmed_row):
            self.unconfirmed_row = row


class Patience(NamedTuple):
    """How long to wait for a broker that has gone away, in seconds.

    ``outage_s`` bounds one outage, ``whole_s`` everything, from the making of the outbox.
    """

    outage_s: float = math.inf
    whole_s: float = math.inf


PATIENCE = Patience()
"""Without end."""


@dataclass(frozen=True, slots=True, eq=False)
class _Item:
    """A message under way; two with the same contents are two."""

    feed: str
    message: Message
    updates: int
    row: int | None


class Outbox:
    """Publishes; each message is a task of ``tasks``, so their end is its end too.

    Messages leave in the order of the calls: tasks start in it, and a broker keeps it. After
    an outage those that were not confirmed leave again, in the same order, before any new one.
    """

    def __init__(
        self,
        broker: Publishing,
        tasks: asyncio.TaskGroup,
        outcome: Outcome,
        on_news: Callable[[str], None],
        patience: Patience = PATIENCE,
    ) -> None:
        """``on_news`` is told in a line when the broker has gone, and when it is back."""
        self.outcome = outcome
        self._broker = broker
        self._tasks = tasks
        self._on_news = on_news
        self._patience = patience
        self._clock = asyncio.get_running_loop().time
        self._ends_at = self._clock() + patience.whole_s
        self._free = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._open: dict[_Item, asyncio.Task[None]] = {}
        self._is_up = asyncio.Event()
        self._is_up.set()
        self._recovery: asyncio.Task[None] | None = None
        self._has_answered = False
        self._end: Away | None = None

    async def publish(
        self, feed: str, message: Message, updates: int | None = None, row: int | None = None
    ) -> None:
        """Send, and return when there is room for a next one.

        ``updates`` is how many the message carries, if that is known; ``row`` says which row
        of a file is its first. Waits while the broker is away. Raises :class:`BrokerDown`,
        :class:`Unanswered` or :class:`TopologyError` if it has never answered, or was away for
        too long: what follows would meet the same.
        """
        await self._free.acquire()
        await self._is_up.wait()
        if self._end is not None:
            raise self._end
        if updates is None:
            updates = updates_in(message)
        item = _Item(feed, message, updates, row)
        self.outcome.published += updates
        self.outcome.messages += 1
        self._start(item)

    async def settled(self) -> None:
        """Wait until each message has its answer. Raises as :meth:`publish`."""
        while self._open and self._end is None:
            await asyncio.wait({self._recovery} if self._recovery else set(self._open.values()))
        if self._end is not None:
            raise self._end

    def give_up(self) -> None:
        """Wait for no broker any more: what is under way may still be confirmed."""
        self._patience = Patience(0, 0)
        if self._recovery is not None:
            self._recovery.cancel()
            self._recovery = None

    def close(self) -> None:
        """Count what was never confirmed. Call it when all tasks have ended."""
        for item in self._open:
            self.outcome.fail(item.updates, item.row)
        self._open.clear()

    def _start(self, item: _Item) -> None:
        self._open[item] = self._tasks.create_task(self._send(item))

    async def _send(self, item: _Item) -> None:
        try:
            await self._hand_over(item)
        except AWAY as error:
            self._lost(item, error)

    async def _hand_over(self, item: _Item) -> None:
        """Publish one message and count its answer. Raises one of :data:`AWAY` without one."""
        outcome = self.outcome
        try:
            await self._broker.publish(item.feed, item.message)
            outcome.confirmed += item.updates
        except AWAY:
            raise
        except Unroutable:
            outcome.unroutable += item.updates
            outcome.unroutable_feeds.add(item.feed)
        except PublishError as error:
            outcome.why = outcome.why or str(error)
            outcome.fail(item.updates, item.row)
        self._has_answered = True
        del self._open[item]
        self._free.release()

    def _lost(self, item: _Item, error: Away) -> None:
        """Begin to wait for the broker, or give up if it makes no sense."""
        if self._recovery is not None:
            return  # it is waited for already
        if self._has_answered and self._patience.outage_s and self._end is None:
            self._is_up.clear()
            self._recovery = self._tasks.create_task(self._recover(error))
            return
        self._end = self._end or error
        del self._open[item]
        self.outcome.fail(item.updates, item.row)
        self._free.release()

    async def _recover(self, error: Away) -> None:
        """Wait for the broker, and send again what it has not confirmed."""
        since = self._clock()
        self._on_news(f"{error}; waiting for the broker")
        under_way = [task for task in self._open.values() if not task.done()]
        for task in under_way:
            # It may wait for a new connection, and would pass those that were lost before it.
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        ends_at = min(self._ends_at, since + self._patience.outage_s)
        again = list(self._open)
        for item in again:
            self.outcome.again += item.updates
            self.outcome.again_feeds.add(item.feed)
        is_back = await self._await_broker(error, ends_at)
        self._recovery = None
        if is_back:
            updates = sum(item.updates for item in again)
            self._on_news(
                f"the broker is back after {self._clock() - since:.1f} s; "
                f"sending the {updates:,} updates again that it had not confirmed"
            )
            for item in list(self._open):
                self._start(item)
        self._is_up.set()

    async def _await_broker(self, error: Away, ends_at: float) -> bool:
        """Try with the first message, until the broker answers; False: it took too long."""
        wait_s = WAIT_FIRST_S
        while self._open:
            left_s = ends_at - self._clock()
            if left_s <= 0:
                self._end = BrokerDown(f"the broker has been away for too long: {error}")
                return False
            await asyncio.sleep(min(wait_s, left_s))
            wait_s = min(2 * wait_s, WAIT_MAX_S)
            try:
                await self._hand_over(next(iter(self._open)))
            except AWAY as another:
                error = another
            else:
                break
        return True
