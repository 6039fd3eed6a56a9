"""The audit log: who was granted, refused and sent what, from when to when, and why it ended.

A line is written for a command or a connection, never for an update. ``tickfan usage`` counts
these lines. Must not know where they go, HTTP, nor what a token looks like: of a token only the
claims that name it come here.
"""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tickfan.access.identity import Identity
    from tickfan.clock import Clock
    from tickfan.core.closing import Reason
    from tickfan.core.errors import Refusal
    from tickfan.session.grants import Grant
    from tickfan.session.membership import Connection

log = structlog.get_logger("tickfan.audit")

ALIVE_S = 60.0
"""How often a process says that it lives, while somebody is connected whom the audit log names.

What was open when a process was killed counts until its last line.
"""

LINE_CHARS_MAX = 60_000
"""Characters of the patterns in one line; more go into further lines. Patterns are ASCII."""

REFUSED_NAMED_MAX = 32
"""Patterns of one command that are named when they are refused; of more the number is told."""

WINDOW_S = 10.0
"""Seconds within which so many refusals have a line."""

LINES_PER_SUBJECT_MAX = 20
"""Lines of refusals within WINDOW_S for one subject; of the others the number is told."""

LINES_MAX = 1000
"""Lines of refusals within WINDOW_S for all subjects together."""

CODES = frozenset(
    ("bad_token", "expired", "forbidden", "publish_forbidden", "publish_unauthorized",
     "unauthorized")
)  # fmt: skip
"""The codes of refusals that are about who somebody is, and what that allows."""


class Audit:
    """Writes the lines of one process."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Clock, epoch: str, *, names_all: bool
    ) -> None:
        """``epoch`` names this run of the process. ``names_all``: clients without a token, too."""
        self._loop = loop
        self._clock = clock
        self._epoch = epoch
        self._names_all = names_all
        self._open: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._window_ends = -inf
        self._lines: Counter[tuple[str, str]] = Counter()  # of refusals, in this window
        self._more = 0

    def start(self) -> None:
        """Begin to say that the process lives."""
        self._timer = self._loop.call_later(ALIVE_S, self._beat)

    def stop(self) -> None:
        """No more of that."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._tell_more()

    def _beat(self) -> None:
        self._timer = self._loop.call_later(ALIVE_S, self._beat)
        self._tell_more()
        if self._open:
            log.info("audit alive", epoch=self._epoch, connections=len(self._open))

    def names(self, identity: Identity) -> bool:
        """Whether the audit log speaks of this client."""
        return self._names_all or not identity.is_anonymous

    def came(self, connection: Connection) -> None:
        """A connection is open; it has asked for nothing yet."""
        if self.names(connection.identity):
            self._open.add(connection)

    def granted(self, connection: Connection, granted: Mapping[str, tuple[Grant, ...]]) -> None:
        """A connection gets these patterns from now on. Of those that it had, the interval."""
        if connection in self._open:
            for part in _parts(granted):
                log.info("access granted", **_who(connection), granted=part)

    def dropped(self, connection: Connection, patterns: Iterable[str], why: str) -> None:
        """A connection gets these patterns no more. ``feeds`` are those that it still reads."""
        if connection in self._open:
            feeds = [feed.name for feed in connection.feeds]
            for part in _cut(patterns):
                log.info("access dropped", **_who(connection), why=why, patterns=part, feeds=feeds)

    def renewed(self, connection: Connection, before: Identity) -> None:
        """A connection goes on with another token, maybe another customer's."""
        identity = connection.identity
        is_other = (identity.issuer, identity.subject) != (before.issuer, before.subject)
        is_named = self.names(identity)
        if is_named or connection in self._open:
            more = _previous(before) if is_other else {}
            log.info("token renewed", **_who(connection), expires_ms=identity.expires_ms, **more)
        if not is_named:
            self._open.discard(connection)
            return
        self._open.add(connection)
        if is_other:  # what it holds counts for this customer from now on
            self.granted(connection, connection.grants)

    def ended(self, connection: Connection, reason: Reason) -> None:
        """A connection is over, and why."""
        if connection in self._open:
            self._open.discard(connection)
            subscriber = connection.subscriber
            log.info(
                "connection ended",
                **_who(connection),
                reason=reason.name,
                duration_s=round(self._clock.time() - subscriber.opened_at, 3),
                updates=subscriber.updates,
                feeds=[feed.name for feed in connection.feeds],
            )

    def refused(
        self,
        identity: Identity,
        remote: str,
        transport: str,
        refusals: Sequence[Refusal],
        connection: str = "",
    ) -> None:
        """What was refused for who somebody is; other refusals are nobody's business here.

        Anybody can be refused as often as they like: of a flood the number is told.
        """
        if not self.names(identity):
            return
        told = [refusal for refusal in refusals if refusal.code in CODES]
        if not told:
            return
        now = self._clock.time()
        if now >= self._window_ends:
            self._tell_more()
            self._window_ends = now + WINDOW_S
            self._lines.clear()
        subject = identity.issuer, identity.subject
        if self._lines[subject] >= LINES_PER_SUBJECT_MAX or self._lines.total() >= LINES_MAX:
            self._more += len(told)
            return
        self._lines[subject] += 1
        log.info(
            "access refused",
            **_claims(identity),
            remote=remote,
            connection=connection,
            transport=transport,
            refused=[
                {"item": refusal.item, "code": refusal.code} for refusal in told[:REFUSED_NAMED_MAX]
            ],
            refusals=len(told),
        )

    def published(self, identity: Identity, remote: str, channel: str) -> None:
        """An update was published over REST, and the broker has it."""
        if self.names(identity):
            log.info("published", **_claims(identity), remote=remote, channel=channel)

    def _tell_more(self) -> None:
        if self._more:
            log.info("more refusals", epoch=self._epoch, refusals=self._more)
            self._more = 0


def _claims(identity: Identity) -> dict[str, Any]:
    return {
        "subject": identity.subject, "issuer": identity.issuer, "jti": identity.token_id,
    }  # fmt: skip


def _previous(identity: Identity) -> dict[str, Any]:
    return {"previous_subject": identity.subject, "previous_issuer": identity.issuer}


def _who(connection: Connection) -> dict[str, Any]:
    return {
        **_claims(connection.identity),
        "remote": connection.remote,
        "connection": connection.id,
        "transport": connection.subscriber.format.name,
    }


def _parts(granted: Mapping[str, tuple[Grant, ...]]) -> Iterator[list[dict[str, Any]]]:
    """What one line says, and the next: the patterns of each feed and interval."""
    for patterns in _cut(granted):
        by_grant: dict[Grant, list[str]] = {}
        for pattern in patterns:
            for grant in granted[pattern]:
                by_grant.setdefault(grant, []).append(pattern)
        yield [
            {"feed": feed.name, "interval_ms": interval_ms, "patterns": of}
            for (feed, interval_ms), of in by_grant.items()
        ]


def _cut(patterns: Iterable[str]) -> Iterator[list[str]]:
    """The patterns, as many as fit into a line."""
    part: list[str] = []
    size = 0
    for pattern in patterns:
        if size > LINE_CHARS_MAX:
            yield part
            part, size = [], 0
        part.append(str(pattern))
        size += len(pattern) + 3  # the quotes and the comma
    if part:
        yield part
