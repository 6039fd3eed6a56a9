"""Who is connected, and what each connection is told.

A transport connects, subscribes and leaves here; everything else comes to its
pipe by itself. Must not know HTTP, WebSocket, or how a request was spelled.
"""

from __future__ import annotations

from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from tickfan.core import closing
from tickfan.core import cursor as cursors
from tickfan.core.errors import Refusal
from tickfan.fanout.backlog import Opening
from tickfan.fanout.finding import Prepared, Survey
from tickfan.fanout.subscriber import ENDED, Subscriber
from tickfan.session.grants import Planner
from tickfan.session.membership import Connection, keys_of, regroup, resume
from tickfan.wire import events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tickfan.clock import Clock
    from tickfan.core.closing import Reason
    from tickfan.core.feed import Channel, Feed
    from tickfan.core.feeds import Feeds
    from tickfan.core.pattern import Pattern
    from tickfan.core.tally import Tally
    from tickfan.core.update import Update
    from tickfan.fanout.directory import Directory
    from tickfan.fanout.ports import Pipe
    from tickfan.fanout.pump import Pump
    from tickfan.fanout.replay import Pace
    from tickfan.fanout.slices import Slices
    from tickfan.session.grants import Grant, Request, Rules
    from tickfan.wire.base import Format

CHUNK = 200
"""Connections that one job writes to."""

MAX_AGE_SPREAD = 0.25
"""By what share of the greatest age a connection may leave earlier or later."""


class Granted(NamedTuple):
    """What came of a request: the ``subscribed`` fields (None if nothing was granted)."""

    fields: dict[str, Any] | None
    refusals: list[Refusal]


class Connections:
    """All connections of the process."""

    def __init__(  # noqa: PLR0913 - made in one place
        self,
        feeds: Feeds,
        directory: Directory,
        pump: Pump,
        pace: Pace,
        slices: Slices,
        tally: Tally,
        clock: Clock,
        *,
        rules: Rules,
        epoch: str,
        max_age_s: float,
    ) -> None:
        """``epoch`` names this run of the process: conflated ``seq`` counts from it.

        ``max_age_s``: connections are asked to move on at about this age (0: never).
        """
        self._feeds = feeds
        self._directory = directory
        self._pump = pump
        self._pace = pace
        self._slices = slices
        self._tally = tally
        self._clock = clock
        self._max_age_s = max_age_s
        self.planner = Planner(feeds, rules)
        self.epoch = epoch
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

        ``ping`` are the bytes of its wire's ping; None: it has none.
        """
        now = self._clock.time
        subscriber = Subscriber(format, pipe, on_end, self._pump.serve, clock=now, until=until)
        connection = Connection(subscriber, remote, ping)
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

    def prepare(
        self,
        format_: Format,
        until: str | None,
        request: Request,
        connection: Connection | None = None,
    ) -> Prepared:
        """What :meth:`subscribe` will have to find for the request.

        ``connection`` None: it is the first of a connection that is not here
        yet. If it is large, let it take its steps first.
        """
        held = {} if connection is None else connection.grants
        plan = self.planner.plan(request, held)
        return self._prepared(
            format_, until, held | plan.granted, plan.grants if request.snapshot else ()
        )

    def prepare_unsubscribe(self, connection: Connection, patterns: Iterable[Pattern]) -> Prepared:
        """What :meth:`unsubscribe` will have to find; as :meth:`prepare`."""
        gone = connection.grants.keys() & set(patterns)
        if not gone:
            return Prepared(Survey((), ()), (None, {}), {})
        left = {pattern: grants for pattern, grants in connection.grants.items()
                if pattern not in gone}  # fmt: skip
        subscriber = connection.subscriber
        return self._prepared(subscriber.format, subscriber.until, left, ())

    def _prepared(
        self,
        format_: Format,
        until: str | None,
        held: Mapping[Pattern, tuple[Grant, ...]],
        snapshots_of: Iterable[Grant],
    ) -> Prepared:
        keys = keys_of(format_, until, held.values())
        lossless, conflated = keys
        each = [*conflated.values()] if lossless is None else [lossless, *conflated.values()]
        asked = [*snapshots_of]
        survey = Survey(
            [grant.selector for grant in asked if grant.interval_ms is not None],
            [grant.selector for grant in asked if grant.interval_ms is None],
        )
        return Prepared(survey, keys, {key: self._directory.reach(key) for key in each})

    def subscribe(
        self,
        connection: Connection,
        request: Request,
        head: Callable[[dict[str, Any]], bytes],
        end: Mapping[str, Any],
        prepared: Prepared | None = None,
    ) -> Granted:
        """Grant what can be granted of ``request`` and start to send it.

        ``head`` makes the bytes of ``subscribed`` from its fields; ``end`` are the
        fields of ``snapshot_end``. Nothing is sent if every
        pattern is refused. What was ``prepared`` for this request need not be
        looked for again. Raises :class:`~tickfan.core.errors.Refusal` for a
        cursor that is none, or that comes too late.
        """
        places = None if request.cursor is None else cursors.parse(request.cursor)
        if places is not None and connection.lossless is not None:
            raise Refusal("late_cursor", "a cursor goes with the first subscribe", "cursor")
        result = self.planner.plan(request, connection.grants)
        grants = result.grants
        if not grants:
            return Granted(None, result.refusals)
        subscriber = connection.subscriber
        had = set() if connection.lossless is None else connection.lossless.channels
        if prepared is None:
            prepared = self._prepared(
                subscriber.format,
                subscriber.until,
                connection.grants | result.granted,
                grants if request.snapshot else (),
            )
        prepared.survey.finish()
        fresh = connection.take_grants(result.granted)
        regroup(connection, self._directory, prepared)
        recovered = resume(connection, fresh, places, self._pace)
        if places is not None and any(name not in self._feeds for name in places):
            # Of a feed that is no more: what was read of it may be one of these.
            recovered |= {feed: False for feed in fresh if feed not in recovered}
        states = [
            channel
            for channel in prepared.survey.states
            # Neither after an exact continuation nor for a channel that is
            # read already: what waits of it would come after its state.
            if not recovered.get(channel.feed) and channel not in had
        ]
        fields = events.subscribed(
            self.epoch,
            self._clock.wall_ms(),
            [_describe(grant, prepared.survey, recovered) for grant in grants],
        )
        resets: list[bytes] = []
        cursor = None if states else subscriber.cursor
        for feed, is_recovered in recovered.items():
            self._tally.resumes[is_recovered] += 1
            if not is_recovered:
                assert places is not None
                reset = events.reset_on_resume(feed, places.get(feed.name))
                self._tally.unrecovered[feed.name, reset["reason"]] += 1
                resets.append(subscriber.format.event("reset", reset, cursor))
        subscriber.open(
            Opening(
                [head(fields), *resets],
                prepared.survey.snapshot,
                _states(states),
                end,
                tuple(resets),
                has_states=bool(states),
            )
        )
        # A newcomer's first bytes go out here and now, in one write.
        self._pump.step(subscriber, self._clock.time())
        return Granted(fields, result.refusals)

    def unsubscribe(
        self,
        connection: Connection,
        patterns: Iterable[Pattern],
        prepared: Prepared | None = None,
    ) -> None:
        """Take patterns back; what waits of them is not sent any more."""
        patterns = tuple(patterns)
        if prepared is None:
            prepared = self.prepare_unsubscribe(connection, patterns)
        if connection.drop_grants(patterns):
            regroup(connection, self._directory, prepared)
            connection.subscriber.keep_only(connection.is_due())

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


def _states(channels: Iterable[Channel]) -> Iterator[Update]:
    """Each channel's full state and every update since, as of now.

    The lists are not copied: what is appended later is beyond their length of
    now, and a new full state is a new list.
    """
    states = [channel.state or () for channel in channels]
    return chain.from_iterable(map(islice, states, list(map(len, states))))


def _describe(grant: Grant, survey: Survey, recovered: dict[Feed, bool]) -> dict[str, Any]:
    """What the client is told of one grant."""
    feed, pattern = grant.feed, grant.pattern
    if grant.interval_ms is None:
        is_recovered = recovered.get(feed)
        has_state = not is_recovered and survey.has_state(grant.selector)
        snapshot = "state" if has_state else "none"
        return events.subscribed_lossless(pattern, feed, snapshot, recovered=is_recovered)
    snapshot = survey.latest(grant.selector)
    return events.subscribed_conflated(pattern, feed, snapshot, grant.interval_ms)
