"""What a connection asks for, checked against the feeds: grants and refusals.

Must not know how a request came in, nor audiences or sockets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from service.core.channel import Pattern
from service.core.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from service.core.feed import Feed

REQUEST_FIELDS = ("channels", "cursor", "interval_ms", "snapshot", "until")


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
    """One pattern within one feed, as granted. ``interval_ms`` None: lossless."""

    feed: Feed
    pattern: Pattern
    interval_ms: int | None


@dataclass(slots=True)
class Plan:
    """What of a request can be granted, and what not."""

    grants: list[Grant] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Rules:
    """The operator's limits. ``intervals_ms`` is the ladder, rising."""

    intervals_ms: tuple[int, ...] = (50, 100, 200, 250, 500, 1000, 2000, 5000, 10000, 30000, 60000)
    channels_per_connection_max: int = 500

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


def plan(
    request: Request, feeds: Iterable[Feed], rules: Rules, held: Sequence[Pattern] = ()
) -> Plan:
    """Grant each pattern in every feed that it can match; refuse the rest, one by one.

    ``held`` are the patterns that the connection has already: together with
    the new ones they count against ``channels_per_connection_max``.
    """
    result = Plan()
    feeds = list(feeds)
    count = len(held)
    known = set(held)
    for text in dict.fromkeys(request.channels):
        try:
            pattern = Pattern(text)
            if pattern not in known:
                _check_count(count, rules, text)
            grants = _grants(pattern, request.interval_ms, feeds, rules)
        except Refusal as refusal:
            result.refusals.append(refusal)
            continue
        count += pattern not in known
        result.grants.extend(grants)
    return result


def _check_count(count: int, rules: Rules, text: str) -> None:
    if count >= rules.channels_per_connection_max:
        raise Refusal(
            "too_many_channels",
            f"a connection has at most {rules.channels_per_connection_max} channels and patterns: "
            "use a wildcard, or a second connection",
            text,
        )


def _grants(
    pattern: Pattern, interval_ms: int | None, feeds: Iterable[Feed], rules: Rules
) -> list[Grant]:
    covering = [feed for feed in feeds if feed.overlaps(pattern)]
    if not covering:
        bound = ", ".join(own.text for feed in feeds for own in feed.patterns)
        raise Refusal(
            "no_feed", f"no feed covers {pattern.text!r}; the feeds bind: {bound}", pattern.text
        )
    return [
        Grant(
            feed,
            pattern,
            None
            if feed.is_lossless
            # A client may ask for less than the feed gives, never for more.
            else rules.round_up(max(interval_ms or 0, feed.spec.interval_ms)),
        )
        for feed in covering
    ]
