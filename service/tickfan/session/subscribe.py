"""What a connection is sent, and no more: plan, join, recover, answer.

Must not know HTTP, WebSocket, or how a request was spelled.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from tickfan.core.errors import Refusal
from tickfan.core.pattern import pattern_of
from tickfan.fanout.audience import Selector
from tickfan.fanout.finding import Prepared, Survey
from tickfan.fanout.openings import Opening
from tickfan.session.grants import Planner
from tickfan.session.membership import keys_of, regroup, resume
from tickfan.wire import events

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tickfan.access.identity import Identity
    from tickfan.clock import Clock
    from tickfan.core.cursor import Place
    from tickfan.core.feed import Channel, Feed
    from tickfan.core.feeds import Feeds
    from tickfan.core.pattern import Pattern
    from tickfan.core.tally import Tally
    from tickfan.fanout.directory import Directory
    from tickfan.fanout.pump import Pump
    from tickfan.fanout.replay import Pace
    from tickfan.session.audit import Audit
    from tickfan.session.grants import Grant, Plan, Request, Rules
    from tickfan.session.membership import Connection
    from tickfan.wire.base import Format


class Answer(NamedTuple):
    """What the transport adds to the answer of a subscription.

    ``command_id`` is the client's own, of the command. ``retry_ms``: the answer is
    the first event of a stream, and says after what time to come back, and by ``connection``
    which one it is.
    """

    command_id: str | int | None = None
    retry_ms: int | None = None
    connection: str = ""

    def head(self, format_: Format, fields: dict[str, Any]) -> bytes:
        """The bytes of ``subscribed``."""
        fields = events.answering(self.command_id, fields)
        if self.retry_ms is None:
            return format_.event("subscribed", fields)
        return format_.opening(
            "subscribed", events.subscribed_first(self.connection, fields), self.retry_ms
        )


class Granted(NamedTuple):
    """What came of a request: the ``subscribed`` fields (None if nothing was granted)."""

    fields: dict[str, Any] | None
    refusals: list[Refusal]


class Narrowed(NamedTuple):
    """What is left of a connection's grants with another token."""

    kept: Mapping[str, tuple[Grant, ...]]
    dropped: list[Pattern]
    prepared: Prepared


class Subscriptions:
    """Changes what connections are subscribed to, and answers them."""

    def __init__(  # noqa: PLR0913 - made in one place
        self,
        feeds: Feeds,
        directory: Directory,
        pump: Pump,
        pace: Pace,
        tally: Tally,
        clock: Clock,
        *,
        rules: Rules,
        epoch: str,
        audit: Audit,
        is_simulated: bool = False,
    ) -> None:
        """``epoch`` names this run of the process: conflated ``seq`` counts from it.

        ``is_simulated``: the prices are invented, and clients are told so.
        """
        self._feeds = feeds
        self._directory = directory
        self._pump = pump
        self._pace = pace
        self._tally = tally
        self._clock = clock
        self._planner = Planner(feeds, rules)
        self._audit = audit
        self.epoch = epoch
        self.is_simulated = is_simulated

    def plan(self, request: Request, identity: Identity) -> Plan:
        """What of the request can be granted to this client."""
        return self._planner.plan(request, identity)

    def fit(self, plan: Plan) -> Plan:
        """What of a plan a connection can have that has nothing yet."""
        return self._planner.fit(plan, ())

    def prepare(
        self, plan: Plan, format_: Format, connection: Connection | None = None
    ) -> Prepared:
        """What :meth:`subscribe` will have to find for the plan.

        ``connection`` None: it is the first of a connection that is not here
        yet. If it is large, let it take its steps first. Raises
        :class:`~tickfan.core.errors.Refusal` for a cursor that is none, or that comes too late.
        """
        until = plan.request.until
        held: Mapping[str, tuple[Grant, ...]] = {}
        had: set[Channel] = set()
        if connection is not None:
            until, held = connection.subscriber.until, connection.grants
            plan = self._planner.fit(plan, held)
            if connection.lossless is not None:
                had = connection.lossless.channels
                if plan.request.places() is not None:
                    raise Refusal("late_cursor", "a cursor goes with the first subscribe", "cursor")
        asked = plan.granted.items() if plan.request.snapshot else ()
        wanted = [Selector(feed, pattern) for pattern, grants in asked for feed, _ in grants]
        survey = Survey(wanted, had)
        return self._prepared(format_, until, {**held, **plan.granted}, survey)

    def prepare_unsubscribe(self, connection: Connection, patterns: Iterable[str]) -> Prepared:
        """What :meth:`unsubscribe` will have to find; as :meth:`prepare`."""
        gone = connection.grants.keys() & set(patterns)
        if not gone:
            return Prepared(Survey(()), (None, {}), {})
        left = {pattern: grants for pattern, grants in connection.grants.items()
                if pattern not in gone}  # fmt: skip
        subscriber = connection.subscriber
        return self._prepared(subscriber.format, subscriber.until, left, Survey(()))

    def _prepared(
        self,
        format_: Format,
        until: str | None,
        held: Mapping[str, tuple[Grant, ...]],
        survey: Survey,
    ) -> Prepared:
        keys = keys_of(format_, until, held)
        lossless, conflated = keys
        each = [*conflated.values()] if lossless is None else [lossless, *conflated.values()]
        return Prepared(survey, keys, {key: self._directory.reach(key) for key in each})

    def subscribe(
        self, connection: Connection, plan: Plan, prepared: Prepared, answer: Answer
    ) -> Granted:
        """Grant what was planned and still can be, and start to send it.

        ``prepared`` was made for this plan. Nothing is sent if every pattern is
        refused.
        """
        places = plan.request.places()
        plan = self._planner.fit(plan, connection.grants)
        if not plan.granted:
            return Granted(None, plan.refusals)
        fresh = self._join(connection, plan, prepared)
        self._audit.granted(connection, plan.granted)
        recovered = self._recover(connection, fresh, places or {})
        fields = self._fields(plan, prepared.survey, recovered)
        subscriber = connection.subscriber
        # An exact continuation needs none.
        states = [
            channel.state or ()
            for channel in prepared.survey.states
            if not recovered.get(channel.feed)
        ]
        opening = Opening(
            [answer.head(subscriber.format, fields)],
            events.answering(answer.command_id, events.snapshot_end()),
            # As of now: a state grows, and is replaced.
            chain.from_iterable(states),
            self._resets(recovered, places or {}),
        )
        subscriber.open(opening, prepared.survey.snapshot)
        # A newcomer's first bytes go out here and now, in one write.
        self._pump.step(subscriber, self._clock.time())
        return Granted(fields, plan.refusals)

    def unsubscribe(
        self, connection: Connection, patterns: Iterable[str], prepared: Prepared
    ) -> None:
        """Take patterns back; what waits of them is not sent any more."""
        gone = [one for one in dict.fromkeys(patterns) if one in connection.grants]
        if connection.drop_grants(gone, prepared.feeds()):
            self._audit.dropped(connection, gone, "unsubscribed")
            regroup(connection, self._directory, prepared)
            connection.subscriber.keep_only(connection.is_due())

    def narrow(self, connection: Connection, identity: Identity) -> Narrowed:
        """What a connection keeps with another token, and what :meth:`renew` has to find."""
        kept: dict[str, tuple[Grant, ...]] = {}
        dropped: list[Pattern] = []
        for text, grants in connection.grants.items():
            pattern = pattern_of(text)
            if identity.reads.includes(pattern):
                kept[text] = self._planner.slowed(grants, identity.interval_ms_min)
            else:
                dropped.append(pattern)
        subscriber = connection.subscriber
        survey = Survey(())
        prepared = self._prepared(subscriber.format, subscriber.until, kept, survey)
        return Narrowed(kept, dropped, prepared)

    def renew(self, connection: Connection, narrowed: Narrowed) -> None:
        """Take back what was dropped; what waits of it is not sent any more."""
        had = connection.grants
        connection.replace_grants(narrowed.kept, narrowed.prepared.feeds())
        self._audit.dropped(connection, narrowed.dropped, "token")
        changed = {text: of for text, of in narrowed.kept.items() if had.get(text) != of}
        self._audit.granted(connection, changed)
        regroup(connection, self._directory, narrowed.prepared)
        if narrowed.dropped:
            connection.subscriber.keep_only(connection.is_due())

    def _join(self, connection: Connection, plan: Plan, prepared: Prepared) -> set[Feed]:
        """Put it into the audiences of its grants; returns the lossless feeds new to it."""
        prepared.survey.finish()
        fresh = connection.take_grants(plan.granted, prepared.feeds())
        regroup(connection, self._directory, prepared)
        return fresh

    def _recover(
        self, connection: Connection, fresh: set[Feed], places: Mapping[str, Place]
    ) -> dict[Feed, bool]:
        """Start to replay what was missed since ``places``.

        Returns, for each feed that they speak of, whether all of it comes.
        """
        if not places:
            return {}
        recovered = resume(connection, fresh, places, self._pace)
        if any(name not in self._feeds for name in places):
            # Of a feed that is no more: what was read of it may be one of these.
            recovered |= {feed: False for feed in fresh if feed not in recovered}
        self._tally.resumes.update(recovered.values())
        return recovered

    def _resets(
        self, recovered: dict[Feed, bool], places: Mapping[str, Place]
    ) -> list[dict[str, Any]]:
        """What is told of the feeds that start afresh, by their names."""
        resets: list[dict[str, Any]] = []
        if not recovered:
            return resets
        for feed in sorted(recovered, key=lambda feed: feed.name):
            if not recovered[feed]:
                reset = events.reset_on_resume(feed, places.get(feed.name))
                self._tally.unrecovered[feed.name, reset["reason"]] += 1
                resets.append(reset)
        return resets

    def _fields(self, plan: Plan, survey: Survey, recovered: dict[Feed, bool]) -> dict[str, Any]:
        """The fields of ``subscribed``."""
        shared: dict[Feed, dict[str, Any]] = {}
        channels: list[dict[str, Any]] = []
        wanted = [(pattern, grant) for pattern, of in plan.granted.items() for grant in of]
        for pattern, (feed, interval_ms) in wanted:
            selector = Selector(feed, pattern)
            if interval_ms is None:
                is_recovered = recovered.get(feed)
                in_feed = shared.get(feed) or events.subscribed_lossless(
                    feed, recovered=is_recovered
                )
                has_state = not is_recovered and survey.has_state(selector)
                snapshot = "state" if has_state else "none"
            else:
                in_feed = shared.get(feed) or events.subscribed_conflated(feed, interval_ms)
                snapshot = survey.latest(selector)
            shared[feed] = in_feed
            channels.append(events.subscribed_pattern(pattern, in_feed, snapshot))
        fields = events.subscribed(self.epoch, self._clock.wall_ms(), channels)
        return events.marked(fields, is_simulated=self.is_simulated)
