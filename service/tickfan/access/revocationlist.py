"""The list of revocations that all replicas share: what is written to it, and read from it.

It is a stream of a broker, which each replica reads from its beginning. As long as it has
not been read to its tail once, nobody knows whether a token is revoked. In a later outage
what is known holds. Must not know which broker it is, nor what HTTP asks for.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

import orjson
import structlog

from tickfan.access.revocations import Revocation
from tickfan.core.errors import TickfanError
from tickfan.core.feed import Upstream

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Awaitable, Callable, Sequence

    from tickfan.access.revocations import Revocations
    from tickfan.clock import Clock

log = structlog.get_logger("tickfan.access")

VERSION = 1
ID_BYTES = 8


class Received(Protocol):
    """What a broker hands over, as far as it is looked at."""

    @property
    def body(self) -> bytes:
        """The bytes that were published."""


class Malformed(TickfanError):
    """A message of the stream that is no list of revocations."""


class RevocationList:
    """Implements :class:`tickfan.broker.base.Sink`."""

    def __init__(
        self, known: Revocations, end_revoked: Callable[[], Future[int]], clock: Clock
    ) -> None:
        """``end_revoked`` ends the connections that ``known`` refuses; it says how many."""
        self.known = known
        self._end_revoked = end_revoked
        self._clock = clock
        # By their ids those that are being written here, and once they were read: what they end.
        self._own: dict[str, Future[int] | None] = {}
        self.upstream_state = Upstream.STARTING
        self.why = ""
        self.since_ms = clock.wall_ms()
        self.received = 0
        self.malformed = 0
        self.ended = 0

    async def revoke(
        self, revocations: Sequence[Revocation], publish: Callable[[bytes], Awaitable[None]]
    ) -> int:
        """Tell all replicas; returns how many connections ended at this one.

        ``publish`` returns when the broker has confirmed; what it raises goes on.
        """
        own = os.urandom(ID_BYTES).hex()
        self._own[own] = None
        try:
            await publish(encode(own, revocations))
            # It may have come back before the confirm, or may come later.
            walk = self._own[own] or self._take(revocations)
        finally:
            del self._own[own]
        return await walk

    def deliver(self, feed: str, message: Received, fingerprint: str | None = None) -> None:
        """Take one message of the stream; see :class:`tickfan.broker.base.Sink`."""
        del feed, fingerprint
        try:
            by, revocations = decode(message.body)
        except Malformed as error:
            self.malformed += 1
            log.warning("what came revokes nothing", why=str(error), so_far=self.malformed)
            return
        self.received += len(revocations)
        walk = self._take(revocations)
        if by in self._own:
            self._own[by] = walk

    def upstream(self, feed: str, state: Upstream, why: str) -> None:
        """See :class:`tickfan.broker.base.Sink`."""
        del feed
        if state is not self.upstream_state:
            self.since_ms = self._clock.wall_ms()
        self.upstream_state, self.why = state, why
        if state is Upstream.LIVE:
            self.known.are_known = True

    def reset(self, feed: str, reason: str) -> None:
        """See :class:`tickfan.broker.base.Sink`. What is known goes on to hold."""
        log.warning("the list of revocations began anew", stream=feed, reason=reason)

    @property
    def unread_s(self) -> float:
        """For how long it has not been read up to date."""
        if self.upstream_state is Upstream.LIVE:
            return 0.0
        return max(0, self._clock.wall_ms() - self.since_ms) / 1000

    def _take(self, revocations: Sequence[Revocation]) -> Future[int]:
        self.known.add(revocations)
        walk = self._end_revoked()
        walk.add_done_callback(self._count)
        return walk

    def _count(self, walk: Future[int]) -> None:
        if not walk.cancelled() and walk.exception() is None:
            self.ended += walk.result()


def encode(by: str, revocations: Sequence[Revocation]) -> bytes:
    """A message of the stream. ``by`` is its own among all."""
    entries = [revocation._asdict() for revocation in revocations]
    return orjson.dumps({"v": VERSION, "id": by, "revocations": entries})


def decode(body: bytes) -> tuple[str, list[Revocation]]:
    """What :func:`encode` has made. Raises :class:`Malformed`.

    Fields that are not known are ignored: a newer replica may have written them.
    """
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Malformed("it is no JSON") from None
    if not isinstance(message, dict) or message.get("v") != VERSION:
        raise Malformed(f"it is no object of version {VERSION}")
    by, entries = message.get("id"), message.get("revocations")
    if not isinstance(by, str) or not isinstance(entries, list):
        raise Malformed("id or revocations is missing")
    return by, [_revocation(entry) for entry in entries]


def _revocation(entry: object) -> Revocation:
    if not isinstance(entry, dict):
        raise Malformed("a revocation is no object")
    subject, token_id, issuer = (entry.get(name) for name in Revocation._fields[:3])
    before_ms = entry.get("before_ms")
    if (
        not (isinstance(subject, str) and isinstance(token_id, str) and isinstance(issuer, str))
        or type(before_ms) is not int
    ):
        raise Malformed(f"a revocation lacks one of {', '.join(Revocation._fields)}")
    return Revocation(subject, token_id, issuer, before_ms)
