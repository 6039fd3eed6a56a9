"""What a connection asks for, checked against the feeds: grants and refusals.

Must not know how a request came in, which audiences there are, or sockets.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from tickfan.core import cursor as cursors
from tickfan.core.errors import Refusal
from tickfan.core.pattern import Pattern, is_wild

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tickfan.access.identity import Identity
    from tickfan.core.cursor import Place
    from tickfan.core.feed import Feed
    from tickfan.core.feeds import Feeds

REQUEST_FIELDS = ("channels", "cursor", "interval_ms", "snapshot", "until")

PATTERNS_KEPT = 2_000
"""Patterns that are remembered with their grants: those that were asked for last. They take
some 2 MB at most, whoever has asked for them."""


@dataclass(frozen=True, slots=True)
class Request:
    """One subscription as a client sent it, taken apart once.

    ``channels`` are the texts. ``patterns`` are what they say, each once and in their
    order, or why a text is no pattern. ``interval_ms`` None: each feed's own.
    ``cursor`` is taken apart, too, or why it is none; None to start afresh.
    """

    channels: tuple[str, ...]
    patterns: tuple[Pattern | Refusal, ...]
    interval_ms: int | None
    snapshot: bool
    cursor: Mapping[str, Place] | Refusal | None
    until: str | None

    def places(self) -> Mapping[str, Place] | None:
        """Where to resume the lossless feeds, None to start afresh.

        Raises the :class:`Refusal` (``bad_cursor``) of a cursor that is none.
        """
        if isinstance(self.cursor, Refusal):
            raise self.cursor
        return self.cursor


class Grant(NamedTuple):
    """How some pattern is granted within one feed. ``interval_ms`` None: lossless.

    All patterns that are granted alike share it.
    """

    feed: Feed
    interval_ms: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What of a request can be granted, one grant a feed, and what not.

    It is made once, when the request comes in, and goes with it to the end. ``granted`` are
    the patterns as a connection keeps them (:attr:`.Pattern.kept`).
    """

    request: Request
    granted: dict[str, tuple[Grant, ...]] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)

    @property
    def grants(self) -> list[Grant]:
        """All grants, in the order of the request."""
        return [grant for grants in self.granted.values() for grant in grants]

    @property
    def feeds(self) -> list[Feed]:
        """The feeds that something is granted in, each once."""
        return list(dict.fromkeys(grant.feed for grant in self.grants))

    def places(self) -> Mapping[str, Place] | None:
        """The places of the request's cursor in feeds that are granted; None to start afresh.

        Nobody waits for a feed that he may not read. Raises :class:`Refusal` (``bad_cursor``).
        """
        places = self.request.places()
        if places is None:
            return None
        names = {feed.name for feed in self.feeds}
        return {name: place for name, place in places.items() if name in names}

    @property
    def is_lossless(self) -> bool:
        """Whether something lossless is granted."""
        for grants in self.granted.values():
            for _, interval_ms in grants:
                if interval_ms is None:
                    return True
        return False


@dataclass(frozen=True, slots=True)
class Rules:
    """The operator's limits. ``intervals_ms`` is the ladder, rising."""

    intervals_ms: tuple[int, ...]
    channels_per_connection_max: int
    wildcards_per_connection_max: int

    def round_up(self, interval_ms: int) -> int:
        """The shortest interval of the ladder that is not shorter."""
        for step in self.intervals_ms:
            if step >= interval_ms:
                return step
        return self.intervals_ms[-1]


def parse_request(fields: Mapping[str, Any], channels_max: int) -> Request:
    """Check the types of a subscription's fields, and take its texts apart.

    Of more than ``channels_max`` channels none is looked at: 30,000 names in one
    body took 0.3 s, and their 30,000 refusals 4 MB. Raises :class:`Refusal`
    (``bad_field``) that names the field, what it must be, and what came.
    """
    channels = fields.get("channels")
    if not isinstance(channels, (list, tuple)) or not channels or set(map(type, channels)) != {str}:
        raise _bad("channels", "a list of one or more channel names or patterns", channels)
    interval_ms = fields.get("interval_ms")
    if interval_ms is not None and (type(interval_ms) is not int or interval_ms < 0):
        raise _bad("interval_ms", "a whole number of milliseconds, 0 or more", interval_ms)
    snapshot = fields.get("snapshot", True)
    if not isinstance(snapshot, bool):
        raise _bad("snapshot", "true or false", snapshot)
    for name in ("cursor", "until"):
        value = fields.get(name)
        if value is not None and not isinstance(value, str):
            raise _bad(name, "a string", value)
    cursor = fields.get("cursor")
    texts = dict.fromkeys(channels) if len(channels) <= channels_max else ()
    return Request(
        tuple(channels),
        tuple(map(_pattern_or_refusal, texts)),
        interval_ms,
        snapshot,
        None if cursor is None else _places_or_refusal(cursor),
        fields.get("until"),
    )


_pattern = lru_cache(PATTERNS_KEPT)(Pattern)
"""Remembers patterns, which never change: most clients ask for the same ones."""


def permitted(request: Request, identity: Identity) -> Request:
    """The request, with refusals in place of the patterns that the client may not read.

    Its interval is at least the one that its token allows.
    """
    reads, least_ms = identity.reads, identity.interval_ms_min
    if reads.is_all and not least_ms:
        return request
    patterns = [
        wish
        if isinstance(wish, Refusal) or reads.includes(wish)
        else identity.cannot_read(wish.text)
        for wish in request.patterns
    ]
    interval_ms = max(request.interval_ms or 0, least_ms) or request.interval_ms
    return replace(request, patterns=tuple(patterns), interval_ms=interval_ms)


def _pattern_or_refusal(text: str) -> Pattern | Refusal:
    try:
        return _pattern(text)
    except Refusal as refusal:
        return refusal.with_traceback(None)  # it is kept, and would keep our frames


def _places_or_refusal(text: str) -> Mapping[str, Place] | Refusal:
    try:
        return cursors.parse(text)
    except Refusal as refusal:
        return refusal.with_traceback(None)


def _bad(name: str, allowed: str, value: Any) -> Refusal:
    return Refusal("bad_field", f"{name} must be {allowed}, not {value!r:.80}", name)


class Planner:
    """Grants what the feeds have, within the operator's rules."""

    def __init__(self, feeds: Feeds, rules: Rules) -> None:
        self._feeds = feeds
        self._rules = rules
        # Thousands of clients ask for the same few channels. What is decided and built
        # once costs a later subscription neither time nor memory.
        self._grants = lru_cache(PATTERNS_KEPT)(self._grants_of)
        self._intervals = lru_cache(len(rules.intervals_ms))(self._intervals_of)
        # Few feeds are granted together: patterns that are granted alike share one tuple.
        self._shared = lru_cache(PATTERNS_KEPT)(tuple[Grant, ...])

    def plan(self, request: Request, identity: Identity) -> Plan:
        """Grant each pattern in every feed that it can match; refuse the rest, one by one.

        What the client may not read is refused first. Nothing of who it is goes into what
        is remembered for all.
        """
        request = permitted(request, identity)
        plan = Plan(request)
        asked_ms = self._rules.round_up(request.interval_ms or 0)
        for wish in request.patterns:
            if isinstance(wish, Refusal):
                plan.refusals.append(wish)
                continue
            kept, grants = self._grants(wish, asked_ms)
            if grants:
                plan.granted[kept] = grants
            else:
                plan.refusals.append(self._feeds.no_feed(wish.text, identity.reads))
        return plan

    def fit(self, plan: Plan, held: Collection[str]) -> Plan:
        """What is left of a plan for a connection that has the ``held`` patterns.

        Together with the new ones they count against ``channels_per_connection_max``, and
        those of them with wildcards against ``wildcards_per_connection_max``;
        those over it are refused in their place. Nothing is planned again.
        """
        most, wild_most = (
            self._rules.channels_per_connection_max,
            self._rules.wildcards_per_connection_max,
        )
        count, wild, more = len(held), 0, sum(map(is_wild, plan.granted))
        if more:
            wild = sum(map(is_wild, held))
        if count + len(plan.request.patterns) <= most and (not more or wild + more <= wild_most):
            return plan
        fitting = Plan(plan.request)
        refusals = iter(plan.refusals)
        for wish in plan.request.patterns:
            if isinstance(wish, Refusal):
                fitting.refusals.append(next(refusals))
                continue
            grants = plan.granted.get(wish)
            refusal = None if grants else next(refusals)
            is_new = wish not in held
            if is_new and count >= most:
                refusal = _too_many(most, wish.text)
            elif is_new and grants and wish.is_wild and wild >= wild_most:
                refusal = _too_many_wildcards(wild_most, wish.text)
            if refusal is not None:
                fitting.refusals.append(refusal)
            elif grants:
                fitting.granted[wish.kept] = grants
                count += is_new
                wild += is_new and wish.is_wild
        return fitting

    def slowed(self, grants: tuple[Grant, ...], least_ms: int) -> tuple[Grant, ...]:
        """The same grants, with no interval that is shorter than ``least_ms``."""
        least_ms = self._rules.round_up(least_ms)
        slowed = [
            grant
            if grant.interval_ms is None or grant.interval_ms >= least_ms
            else grant._replace(interval_ms=least_ms)
            for grant in grants
        ]
        return self._shared(tuple(slowed))

    def _grants_of(self, pattern: Pattern, asked_ms: int) -> tuple[str, tuple[Grant, ...]]:
        grants = [grant for grant in self._intervals(asked_ms) if grant.feed.overlaps(pattern)]
        for grant in grants:
            channel = grant.feed.channels.get(pattern.text)
            if channel is not None:  # its name is there already
                return channel.name, self._shared(tuple(grants))
        return pattern.kept, self._shared(tuple(grants))

    def _intervals_of(self, asked_ms: int) -> tuple[Grant, ...]:
        """How each feed is granted."""
        round_up = self._rules.round_up
        return tuple(
            [
                # A client may ask for fewer values than the feed gives, never for more.
                Grant(
                    feed,
                    None if feed.is_lossless else round_up(max(asked_ms, feed.spec.interval_ms)),
                )
                for feed in self._feeds.values()
            ]
        )


def _too_many_wildcards(most: int, text: str) -> Refusal:
    return Refusal(
        "too_many_wildcards",
        f"a connection has at most {most} patterns with wildcards: write names, use a wildcard "
        "that matches more, or a second connection",
        text,
    )


def _too_many(most: int, text: str) -> Refusal:
    return Refusal(
        "too_many_channels",
        f"a connection has at most {most} channels and patterns: use a wildcard, "
        "or a second connection",
        text,
    )
