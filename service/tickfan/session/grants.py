"""What a connection asks for, checked against the feeds: grants and refusals.

Must not know how a request came in, which audiences there are, or sockets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tickfan.core.errors import Refusal
from tickfan.core.pattern import Pattern
from tickfan.fanout.audience import Selector

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tickfan.core.feed import Feed
    from tickfan.core.feeds import Feeds

REQUEST_FIELDS = ("channels", "cursor", "interval_ms", "snapshot", "until")

PATTERNS_KEPT = 10_000
"""Patterns whose grants are remembered: those that were asked for last. Each takes about 1 KB."""


@dataclass(frozen=True, slots=True)
class Request:
    """One subscription as a client sent it; only the types have been checked.

    ``interval_ms`` None: each feed's own. ``cursor``: where to resume the
    lossless feeds, None to start afresh.
    """

    channels: tuple[str, ...]
    interval_ms: int | None = None
    snapshot: bool = True
    cursor: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """One pattern within one feed, as granted. ``interval_ms`` None: lossless.

    Connections that are granted the same share it.
    """

    selector: Selector
    interval_ms: int | None

    @property
    def feed(self) -> Feed:
        """The feed that the pattern is granted in."""
        return self.selector.feed

    @property
    def pattern(self) -> Pattern:
        """The pattern that was asked for."""
        return self.selector.pattern


@dataclass(slots=True)
class Plan:
    """What of a request can be granted, one grant a feed, and what not."""

    granted: dict[Pattern, tuple[Grant, ...]] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)

    @property
    def grants(self) -> list[Grant]:
        """All grants, in the order of the request."""
        return [grant for grants in self.granted.values() for grant in grants]

    @property
    def is_lossless(self) -> bool:
        """Whether something lossless is granted."""
        return any(grant.interval_ms is None for grant in self.grants)


@dataclass(frozen=True, slots=True)
class Rules:
    """The operator's limits. ``intervals_ms`` is the ladder, rising."""

    intervals_ms: tuple[int, ...]
    channels_per_connection_max: int

    def round_up(self, interval_ms: int) -> int:
        """The shortest interval of the ladder that is not shorter."""
        for step in self.intervals_ms:
            if step >= interval_ms:
                return step
        return self.intervals_ms[-1]


def parse_request(fields: Mapping[str, Any]) -> Request:
    """Check the types of a subscription's fields.

    Raises :class:`Refusal` (``bad_field``) that names the field, what it must
    be, and what came.
    """
    channels = fields.get("channels")
    if (
        not isinstance(channels, (list, tuple))
        or not channels
        or not all(isinstance(entry, str) for entry in channels)
    ):
        raise _bad("channels", "a list of one or more channel names or patterns", channels)
    interval_ms = fields.get("interval_ms")
    if interval_ms is not None and (type(interval_ms) is not int or interval_ms < 0):
        raise _bad("interval_ms", "a whole number of milliseconds, 0 or more", interval_ms)
    snapshot = fields.get("snapshot", True)
    if not isinstance(snapshot, bool):
        raise _bad("snapshot", "true or false", snapshot)
    for name in ("cursor", "until"):
        if not isinstance(fields.get(name), str | None):
            raise _bad(name, "a string", fields[name])
    return Request(
        tuple(channels), interval_ms, snapshot, fields.get("cursor"), fields.get("until")
    )


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

    def plan(self, request: Request, held: Collection[Pattern] = ()) -> Plan:
        """Grant each pattern in every feed that it can match; refuse the rest, one by one.

        ``held`` are the patterns that the connection has already: together with
        the new ones they count against ``channels_per_connection_max``.
        """
        result = Plan()
        count = len(held)
        asked_ms = self._rules.round_up(request.interval_ms or 0)
        for text in dict.fromkeys(request.channels):
            try:
                pattern, grants = self._grants(text, asked_ms)
                if pattern not in held:
                    self._check_count(count, text)
                if not grants:
                    raise self._feeds.no_feed(text)
            except Refusal as refusal:
                result.refusals.append(refusal)
                continue
            count += pattern not in held
            result.granted[pattern] = grants
        return result

    def _check_count(self, count: int, text: str) -> None:
        if count >= self._rules.channels_per_connection_max:
            raise Refusal(
                "too_many_channels",
                f"a connection has at most {self._rules.channels_per_connection_max} channels "
                "and patterns: use a wildcard, or a second connection",
                text,
            )

    def _grants_of(self, text: str, asked_ms: int) -> tuple[Pattern, tuple[Grant, ...]]:
        pattern = Pattern(text)
        return pattern, tuple(
            Grant(
                Selector(feed, pattern),
                None
                if feed.is_lossless
                # A client may ask for fewer values than the feed gives, never for more.
                else self._rules.round_up(max(asked_ms, feed.spec.interval_ms)),
            )
            for feed in self._feeds.values()
            if feed.overlaps(pattern)
        )
