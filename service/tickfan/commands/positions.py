"""Counts, from lines of the audit log, who had which feed: when, how long, how often at once.

It takes one line after the other, in the order of time. It keeps what is open, and one figure
for each subject and feed. Must not know files, nor how the figures are shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

ALL = ""
"""Stands for all feeds, or all patterns, together."""

EVENTS = frozenset(("access granted", "access dropped", "token renewed", "connection ended"))
"""The lines that change who has what."""

Subject = tuple[str, str]
"""The issuer and the subject; both are empty for clients without a token."""


class BadLine(Exception):
    """A line of the audit log that is not as the service writes it."""


@dataclass(frozen=True, slots=True)
class Span:
    """From when, and until before when, something counts. Seconds since 1970 UTC."""

    begin: float = -inf
    end: float = inf

    def holds(self, since: float, now: float) -> bool:
        """Whether some of this time counts; also none, if it is at a moment that counts."""
        return since < self.end and (now > self.begin or since >= self.begin)


@dataclass(slots=True)
class Use:
    """What a subject had of a feed, of a pattern, or of all. Times are seconds since 1970 UTC.

    ``seconds`` is the time in which at least one connection had it, ``connection_seconds`` the
    sum over all connections. ``at_once_max`` is the most connections that had it at a time.
    """

    first: float = inf
    last: float = -inf
    seconds: float = 0.0
    connection_seconds: float = 0.0
    connections: int = 0
    at_once_max: int = 0
    open: int = 0
    since: float = -inf  # when the last connection came or went

    def change(self, by: int, now: float, span: Span) -> None:
        """So many connections more, or less, from now on."""
        since, self.since = self.since, now
        if self.open and span.holds(since, now):
            begin, end = max(since, span.begin), min(now, span.end)
            self.seconds += end - begin
            self.connection_seconds += self.open * (end - begin)
            self.at_once_max = max(self.at_once_max, self.open)
            self.first, self.last = min(self.first, begin), max(self.last, end)
        self.open += by


@dataclass(slots=True)
class _Holder:
    """A connection that is open: whose it is, and since when it has what."""

    subject: Subject
    has: dict[str, float] = field(default_factory=dict)
    counted: set[str] = field(default_factory=set)


class Positions:
    """The figures of one span of time.

    Lines have to come in the order of time; one that is late counts as of the latest.
    """

    def __init__(
        self, alive_until: Mapping[str, float], span: Span, *, by_pattern: bool = False
    ) -> None:
        """``alive_until``: when each process wrote its last line, by its epoch.

        What it had open ends then: it was killed, or has not written more yet.
        """
        self.unknown = 0  # connections that ended, and began before the first line
        self._span = span
        self._by_pattern = by_pattern
        self._uses: dict[tuple[Subject, str], Use] = {}
        self._open: dict[str, _Holder] = {}
        self._deaths = sorted(((time, epoch) for epoch, time in alive_until.items()), reverse=True)
        self._now = -inf

    def take(self, time: float, line: Mapping[str, Any]) -> None:
        """Count one line. Raises :class:`BadLine`; then it has changed nothing."""
        event = line.get("event")
        if event not in EVENTS:
            return
        connection = _text(line, "connection")
        subject = _text(line, "issuer"), _text(line, "subject")
        if event == "access granted":
            granted = self._keys(line)
            self._pass_to(time)
            holder = self._open.setdefault(connection, _Holder(subject))
            for key in (ALL, *granted):
                self._enter(holder, key)
        elif event == "access dropped":
            gone, feeds = set(_texts(line, "patterns")), set(_texts(line, "feeds"))
            self._pass_to(time)
            holder = self._open.get(connection, _Holder(subject))
            for key in list(holder.has):
                if key != ALL and (key in gone if self._by_pattern else key not in feeds):
                    self._leave(holder, key)
            if not feeds:
                self._leave(holder, ALL)
        elif event == "token renewed":
            self._pass_to(time)
            if connection in self._open and self._open[connection].subject != subject:
                self._close(connection)
        else:
            feeds = set(_texts(line, "feeds"))
            self._pass_to(time)
            self.unknown += bool(feeds) and connection not in self._open
            self._close(connection)

    def finish(self) -> dict[tuple[Subject, str], Use]:
        """The figures when all lines have been taken, by subject and feed (or pattern)."""
        self._pass_to(inf)
        for connection in list(self._open):  # of a file that grew while it was read
            self._close(connection)
        return {each: use for each, use in sorted(self._uses.items()) if use.connections}

    def _keys(self, line: Mapping[str, Any]) -> list[str]:
        """The feeds, or patterns, of a grant."""
        granted = line.get("granted")
        if not isinstance(granted, list) or not all(isinstance(each, dict) for each in granted):
            raise BadLine("granted")
        if self._by_pattern:
            return [pattern for each in granted for pattern in _texts(each, "patterns")]
        return [_text(each, "feed") for each in granted]

    def _pass_to(self, time: float) -> None:
        """Go on to this time. On the way end what the processes had that lived no longer."""
        while self._deaths and self._deaths[-1][0] < time:
            died_at, epoch = self._deaths.pop()
            self._now = max(self._now, died_at)
            for connection in [each for each in self._open if epoch_of(each) == epoch]:
                self._close(connection)
        if time < inf:
            self._now = max(self._now, time)

    def _enter(self, holder: _Holder, key: str) -> None:
        if key not in holder.has:
            holder.has[key] = self._now
            use = self._uses.setdefault((holder.subject, key), Use())
            use.change(1, self._now, self._span)

    def _leave(self, holder: _Holder, key: str) -> None:
        since = holder.has.pop(key, None)
        if since is None:
            return
        use = self._uses[holder.subject, key]
        use.change(-1, self._now, self._span)
        if key not in holder.counted and self._span.holds(since, self._now):
            holder.counted.add(key)
            use.connections += 1

    def _close(self, connection: str) -> None:
        holder = self._open.pop(connection, None)
        if holder is not None:
            for key in list(holder.has):
                self._leave(holder, key)


def epoch_of(connection: str) -> str:
    """The epoch of the process that a connection was at."""
    return connection.rpartition("-")[0]


def _text(line: Mapping[str, Any], key: str) -> str:
    value = line.get(key)
    if not isinstance(value, str):
        raise BadLine(key)
    return value


def _texts(line: Mapping[str, Any], key: str) -> list[str]:
    value = line.get(key)
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise BadLine(key)
    return value
