"""Who is connected, and what all of them are told.

A transport connects and leaves here; what is for everybody goes out from here.
Must not know HTTP, WebSocket, or what a connection has asked for.
"""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from tickfan.core import closing
from tickfan.fanout.subscriber import ENDED, Subscriber
from tickfan.session.membership import Connection
from tickfan.wire import events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tickfan.clock import Clock
    from tickfan.core.closing import Reason
    from tickfan.core.feed import Feed
    from tickfan.core.tally import Tally
    from tickfan.fanout.directory import Directory
    from tickfan.fanout.ports import Pipe
    from tickfan.fanout.pump import Pump
    from tickfan.fanout.slices import Slices
    from tickfan.wire.base import Format

CHUNK = 200
"""Connections that one job writes to."""

MAX_AGE_SPREAD = 0.25
"""By what share of the greatest age a connection may leave earlier or later."""


class Connections:
    """All connections of the process."""

    def __init__(  # noqa: PLR0913 - made in one place
        self,
        directory: Directory,
        pump: Pump,
        slices: Slices,
        tally: Tally,
        clock: Clock,
        *,
        max_age_s: float,
        epoch: str,
    ) -> None:
        """``max_age_s``: connections are asked to move on at about this age (0: never).

        ``epoch`` names this run of the process: no other has it.
        """
        self._directory = directory
        self._pump = pump
        self._slices = slices
        self._tally = tally
        self._clock = clock
        self._max_age_s = max_age_s
        self._epoch = epoch
        self._count = 0  # of all that ever came
        self._all: dict[Connection, None] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._all)

    def connect(  # noqa: PLR0913 - one call, all by name
        self,
        format: Format,  # noqa: A002 - the field's word
        pipe: Pipe,
        on_end: Callable[[Reason], None],
        *,
        until: str | None = None,
        remote: str = "",
        ping: bytes | None = None,
    ) -> Connection:
        """Take a new connection in; ``on_end`` is called if the hub ends it.

        ``remote`` is the client's address. ``ping`` are the bytes of its wire's ping; None: it
        has none.
        """
        now = self._clock.time
        subscriber = Subscriber(format, pipe, on_end, self._pump.serve, clock=now, until=until)
        self._count += 1
        connection = Connection(subscriber, f"{self._epoch}-{self._count}", remote, ping)
        if self._max_age_s:
            connection.leaves_at = now() + self._clock.spread(self._max_age_s, MAX_AGE_SPREAD)
        self._all[connection] = None
        self._tally.connects[format.name] += 1
        return connection

    def leave(self, connection: Connection, reason: Reason) -> None:
        """Take a connection out, before its response ends. Idempotent.

        The transport outlives it: what is written later would reach the next
        request on that connection.
        """
        if connection not in self._all:
            return
        del self._all[connection]
        subscriber = connection.subscriber
        reason = subscriber.leave(reason)
        self._pump.forget(subscriber)
        directory = self._directory
        if connection.lossless is not None:
            directory.forget(subscriber, connection.lossless)
        for audience in connection.conflated.values():
            directory.forget(subscriber, audience)
        self._count_end(connection, reason)

    def _count_end(self, connection: Connection, reason: Reason) -> None:
        subscriber, tally = connection.subscriber, self._tally
        name = subscriber.format.name
        tally.closes[name, reason.name] += 1
        tally.durations[name].observe(self._clock.time() - subscriber.opened_at)
        # It waited for something, and had nothing before it went.
        is_clients_own = reason is closing.LEFT or reason is closing.LOST
        if is_clients_own and connection.grants and not subscriber.updates:
            tally.abandoned[name] += 1

    def each(self, action: Callable[[Connection], None]) -> None:
        """Do something with every connection, a few hundred in one turn of the loop."""
        everybody = iter(tuple(self._all))
        while some := tuple(islice(everybody, CHUNK)):
            self._slices.add(partial(self._do, some, action))

    def _do(self, some: Iterable[Connection], action: Callable[[Connection], None]) -> None:
        for connection in some:
            if connection.subscriber.phase is not ENDED and connection in self._all:
                action(connection)

    def announce(self, feed: Feed) -> None:
        """Tell the feed's subscribers how its source is doing, encoded once for each format."""
        fields = events.status(feed)
        frames: dict[Format, bytes] = {}

        def tell(connection: Connection) -> None:
            if feed not in connection.feeds:
                return
            subscriber = connection.subscriber
            format_ = subscriber.format
            if format_ not in frames:
                frames[format_] = format_.event("status", fields)
            subscriber.control(frames[format_])

        self.each(tell)
