"""Who is connected, and what all of them are told.

A transport connects and leaves here; what is for everybody goes out from here.
Must not know HTTP, WebSocket, or what a connection has asked for.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import islice
from math import inf
from typing import TYPE_CHECKING

from tickfan.core import closing
from tickfan.fanout.subscriber import ENDED, Subscriber
from tickfan.session.membership import Connection
from tickfan.wire import events

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Callable, Iterable, Iterator

    from tickfan.access.identity import Identity
    from tickfan.clock import Clock
    from tickfan.core.closing import Reason
    from tickfan.core.feed import Feed
    from tickfan.core.tally import Tally
    from tickfan.fanout.directory import Directory
    from tickfan.fanout.ports import Pipe
    from tickfan.fanout.pump import Pump
    from tickfan.fanout.slices import Slices
    from tickfan.session.audit import Audit
    from tickfan.wire.base import Format

CHUNK = 200
"""Connections that one job writes to."""

MAX_AGE_SPREAD = 0.25
"""By what share of the greatest age a connection may leave earlier or later."""


EXPIRY_LEAD_S = 5.0
"""How long before the end of its token a connection is asked to come back with another one."""


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
        first_command_timeout_s: float,
        per_subject_max: int,
        epoch: str,
        audit: Audit,
    ) -> None:
        """``max_age_s``: connections are asked to move on at about this age (0: never).

        ``first_command_timeout_s``: a WebSocket that has subscribed to nothing by then goes.
        ``per_subject_max``: so many may one subject have, if its token does not say.
        ``epoch`` names this run of the process: no other has it.
        """
        self._directory = directory
        self._pump = pump
        self._slices = slices
        self._tally = tally
        self._clock = clock
        self._max_age_s = max_age_s
        self._first_command_timeout_s = first_command_timeout_s
        self.epoch = epoch
        self._audit = audit
        self._per_subject_max = per_subject_max
        self._count = 0  # of all that ever came
        # By issuer and subject; of those without a token none.
        self._of_subject: Counter[tuple[str, str]] = Counter()
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
        identity: Identity,
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
        name = f"{self.epoch}-{self._count}"
        connection = Connection(subscriber, name, identity, remote, ping)
        self._count_subject(identity, 1)
        self._set_end(connection)
        self._all[connection] = None
        self._tally.connects[format.name] += 1
        self._audit.came(connection)
        return connection

    def is_full_for(self, identity: Identity, *, but: Connection | None = None) -> bool:
        """Whether a subject has as many connections as it may, in this replica.

        ``but`` is one that is not counted: it is to be the subject's.
        """
        if identity.is_anonymous:
            return False
        subject, most = _subject(identity), identity.connections_max
        count = self._of_subject[subject]
        if but is not None:
            count -= _subject(but.identity) == subject
        return count >= (self._per_subject_max if most is None else most)

    def expect_token(self, connection: Connection, timeout_s: float) -> None:
        """Let a connection go that has not sent a token by then."""
        connection.leaves_at = self._clock.time() + timeout_s
        connection.leaves_as = closing.BAD_TOKEN

    def spent_on(self, connection: Connection) -> float:
        """Seconds of the loop's time that went for its snapshots, since this was last asked."""
        return self._pump.spent_on(connection.subscriber)

    def has_asked(self, connection: Connection) -> None:
        """Let a connection stay: it has subscribed to something."""
        if not connection.has_asked:
            connection.has_asked = True
            self._set_end(connection)

    def renew(self, connection: Connection, identity: Identity) -> None:
        """Let a connection go on with another token."""
        before = connection.identity
        self._count_subject(before, -1)
        self._count_subject(identity, 1)
        connection.identity = identity
        self._set_end(connection)
        self._audit.renewed(connection, before)

    def _count_subject(self, identity: Identity, change: int) -> None:
        if identity.is_anonymous:
            return
        subject = _subject(identity)
        self._of_subject[subject] += change
        if not self._of_subject[subject]:
            del self._of_subject[subject]

    def _set_end(self, connection: Connection) -> None:
        """When it has to go: by its token, by its age, or because it asks for nothing."""
        connection.leaves_at, connection.leaves_as = inf, closing.MAX_AGE
        now = self._clock.time()
        if self._max_age_s:
            age_s = self._clock.spread(self._max_age_s, MAX_AGE_SPREAD)
            connection.leaves_at = connection.subscriber.opened_at + age_s
        left_s = connection.identity.expires_at - self._clock.wall_ms() / 1000 - EXPIRY_LEAD_S
        if now + left_s < connection.leaves_at:
            connection.leaves_at, connection.leaves_as = now + left_s, closing.EXPIRED
        quiet_until = now + self._first_command_timeout_s
        if not connection.has_asked and quiet_until < connection.leaves_at:
            connection.leaves_at, connection.leaves_as = quiet_until, closing.THROTTLED

    def leave(self, connection: Connection, reason: Reason) -> None:
        """Take a connection out, before its response ends. Idempotent.

        The transport outlives it: what is written later would reach the next
        request on that connection.
        """
        if connection not in self._all:
            return
        del self._all[connection]
        self._count_subject(connection.identity, -1)
        subscriber = connection.subscriber
        reason = subscriber.leave(reason)
        self._pump.forget(subscriber)
        directory = self._directory
        if connection.lossless is not None:
            directory.forget(subscriber, connection.lossless)
        for audience in connection.conflated.values():
            directory.forget(subscriber, audience)
        self._audit.ended(connection, reason)
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

    def end_those(self, are_meant: Callable[[Connection], bool], reason: Reason) -> Future[int]:
        """End connections, a few hundred looks in one turn; the future says how many it were."""
        count = 0

        def end(connection: Connection) -> None:
            nonlocal count
            if are_meant(connection):
                connection.subscriber.end(reason)
                count += 1

        self.each(end)
        return self._slices.run(lambda: count)  # jobs run in their order

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


def _subject(identity: Identity) -> tuple[str, str]:
    return identity.issuer, identity.subject
