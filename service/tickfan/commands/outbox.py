"""Publishes with many confirms in flight: in order, within a bound, and counts each of them.

Must not know where messages come from, nor who watches.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tickfan.broker.base import BrokerDown, PublishError, TopologyError, Unroutable
from tickfan.market.simulated import updates_in

if TYPE_CHECKING:
    from tickfan.broker.base import Message, Publishing

IN_FLIGHT_MAX = 512
"""Messages that may wait for their confirm; a further one waits for its turn."""


class Outcome:
    """What became of the updates that were published, in updates."""

    def __init__(self) -> None:
        self.published = 0
        self.messages = 0
        self.confirmed = 0
        self.unroutable = 0
        self.failed = 0
        self.unroutable_feeds: set[str] = set()
        self.why: str | None = None  # the first failure, in words
        self.unconfirmed_row: int | None = None  # of a file: the first that nobody confirmed

    def fail(self, updates: int, row: int | None) -> None:
        """Count updates that were not confirmed, the first of which is ``row`` of a file."""
        self.failed += updates
        if row is not None and (self.unconfirmed_row is None or row < self.unconfirmed_row):
            self.unconfirmed_row = row


class Outbox:
    """Publishes; each message is a task of ``tasks``, so their end is its end too."""

    def __init__(self, broker: Publishing, tasks: asyncio.TaskGroup) -> None:
        self.outcome = Outcome()
        self._broker = broker
        self._tasks = tasks
        self._free = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._down: BrokerDown | TopologyError | None = None

    async def publish(
        self, feed: str, message: Message, updates: int | None = None, row: int | None = None
    ) -> None:
        """Send, and return when there is room for a next one.

        ``updates`` is how many the message carries, if that is known; ``row`` says which row
        of a file is its first. Messages leave in the order of the calls: tasks start in it, and a
        broker keeps it. Raises :class:`BrokerDown` or :class:`TopologyError`
        if an earlier message met it: what follows would meet it too.
        """
        await self._free.acquire()
        if self._down is not None:
            raise self._down
        if updates is None:
            updates = updates_in(message)
        self.outcome.published += updates
        self.outcome.messages += 1
        self._tasks.create_task(self._send(feed, message, updates, row))

    async def _send(self, feed: str, message: Message, updates: int, row: int | None) -> None:
        outcome = self.outcome
        try:
            await self._broker.publish(feed, message)
            outcome.confirmed += updates
        except Unroutable:
            outcome.unroutable += updates
            outcome.unroutable_feeds.add(feed)
        except (PublishError, TopologyError) as error:
            outcome.fail(updates, row)
            outcome.why = outcome.why or str(error)
            if isinstance(error, BrokerDown | TopologyError):
                self._down = error
        except asyncio.CancelledError:
            outcome.fail(updates, row)
            raise
        finally:
            self._free.release()
