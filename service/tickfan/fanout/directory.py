"""Which audiences exist, and which of them a channel concerns.

Must not know connections, nor what a subscription looked like when it came in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tickfan.fanout.audience import MEMBERS_MAX
from tickfan.fanout.conflated import ConflatedAudience
from tickfan.fanout.lossless import LosslessAudience
from tickfan.fanout.timers import Flusher, TickGroup

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from tickfan.core.changes import ChangeLog
    from tickfan.core.feed import Channel, Feed
    from tickfan.core.tally import Tally
    from tickfan.fanout.audience import Key, Selector
    from tickfan.fanout.slices import Slices
    from tickfan.fanout.subscriber import Subscriber

    Audience = ConflatedAudience | LosslessAudience

K = TypeVar("K")

SLOTS_MAX = 10
SLOT_MS_MIN = 10
"""Slots of one interval are at least this far apart."""
REST_MS = 10
"""How long after a part of a large tick the next part follows: sockets take time."""


class Directory:
    """Finds or makes the audience of a key, and keeps channels and audiences linked."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        slices: Slices,
        changes: ChangeLog[Channel],
        tally: Tally,
    ) -> None:
        self._loop = loop
        self._slices = slices
        self._changes = changes
        self._tally = tally
        self._audiences: dict[Key, list[Audience]] = {}
        self._flushers: dict[int, Flusher] = {}
        self._groups: dict[int, list[TickGroup]] = {}
        self._home: dict[ConflatedAudience, TickGroup] = {}
        # A new channel finds its audiences by its name, if somebody waits for it,
        # or by the few different wildcards in use; not by asking every audience.
        self._exact: dict[str, dict[Key, None]] = {}
        self._wild: dict[Selector, dict[Key, None]] = {}

    def __iter__(self) -> Iterator[Audience]:
        for siblings in self._audiences.values():
            yield from siblings

    def __len__(self) -> int:
        return sum(map(len, self._audiences.values()))

    def lossless_of(self, feed: Feed) -> list[LosslessAudience]:
        """The lossless audiences that read the feed."""
        return [
            audience
            for audience in self
            if isinstance(audience, LosslessAudience) and feed in audience.key.feeds
        ]

    def join_lossless(self, member: Subscriber, key: Key) -> LosslessAudience:
        """Put the member into a lossless audience with this key."""
        audience = self._find(key) or self._add(key)
        assert isinstance(audience, LosslessAudience)
        audience.join(member)
        return audience

    def join_conflated(self, member: Subscriber, key: Key) -> ConflatedAudience:
        """Put the member into a conflated audience with this key."""
        audience = self._find(key) or self._add(key)
        assert isinstance(audience, ConflatedAudience)
        audience.members[member] = None
        return audience

    def leave(self, member: Subscriber, audience: Audience) -> None:
        """Take the member out, with what it is still due as its backlog."""
        if isinstance(audience, LosslessAudience):
            audience.leave(member)
        else:
            audience.leave(member, self._home[audience].unseen())
        self._end_if_empty(audience)

    def forget(self, member: Subscriber, audience: Audience) -> None:
        """Take a member out that is due nothing any more."""
        if isinstance(audience, LosslessAudience):
            audience.forget(member)
        else:
            audience.members.pop(member, None)
        self._end_if_empty(audience)

    def add_channel(self, channel: Channel) -> None:
        """Link a new channel with the audiences that are due it."""
        keys = self._exact.pop(channel.name, {})
        for selector, others in self._wild.items():
            if selector.matches(channel):
                keys.update(others)
        for key in keys:
            # That it is included is what the index says.
            if not key.excludes(channel):
                for audience in self._audiences[key]:
                    _link(audience, channel)

    def groups_of(self, interval_ms: int) -> list[TickGroup]:
        """The groups that share the ticks of an interval, made when first asked for."""
        groups = self._groups.get(interval_ms)
        if groups is None:
            count = max(1, min(SLOTS_MAX, interval_ms // SLOT_MS_MIN))
            groups = self._groups[interval_ms] = [
                TickGroup(self._loop, self._slices, self._changes, interval_ms, index / count)
                for index in range(count)
            ]
        return groups

    def stop(self) -> None:
        """End every timer."""
        for flusher in self._flushers.values():
            flusher.stop()
        for groups in self._groups.values():
            for group in groups:
                group.slot.stop()

    def _find(self, key: Key) -> Audience | None:
        for audience in self._audiences.get(key, ()):
            if len(audience.members) < MEMBERS_MAX:
                return audience
        return None

    def _add(self, key: Key) -> Audience:
        audience: Audience
        if key.interval_ms is None:
            flush_ms = min(feed.spec.flush_ms for feed in key.feeds)
            audience = LosslessAudience(key, self._tally, self._loop.time, self._flusher(flush_ms))
        else:
            audience = ConflatedAudience(
                key,
                self._tally,
                self._loop.time,
                self._flusher(REST_MS),
                self._changes.version,
            )
            group = min(self.groups_of(key.interval_ms), key=lambda c: len(c.audiences))
            group.add(audience)
            self._home[audience] = group
        siblings = self._audiences.setdefault(key, [])
        if not siblings:
            self._index(key)
        siblings.append(audience)
        for channel in _channels(key):
            if not key.excludes(channel):
                _link(audience, channel)
        return audience

    def _index(self, key: Key) -> None:
        for selector in key.include:
            name = selector.pattern.text
            if selector.pattern.is_wild:
                self._wild.setdefault(selector, {})[key] = None
            elif name not in selector.feed.channels:
                self._exact.setdefault(name, {})[key] = None

    def _end_if_empty(self, audience: Audience) -> None:
        if audience.members:
            return
        siblings = self._audiences[audience.key]
        siblings.remove(audience)
        if not siblings:
            del self._audiences[audience.key]
            self._unindex(audience.key)
        if isinstance(audience, ConflatedAudience):
            self._home.pop(audience).remove(audience)
        else:
            for channel in audience.channels:
                channel.audiences.remove(audience)

    def _unindex(self, key: Key) -> None:
        for selector in key.include:
            if selector.pattern.is_wild:
                _drop(self._wild, selector, key)
            else:
                _drop(self._exact, selector.pattern.text, key)

    def _flusher(self, flush_ms: int) -> Flusher:
        flusher = self._flushers.get(flush_ms)
        if flusher is None:
            flusher = self._flushers[flush_ms] = Flusher(self._loop, self._slices, flush_ms)
        return flusher


def _channels(key: Key) -> Iterator[Channel]:
    """The existing channels that are included: looked up where names are exact."""
    for selector in key.include:
        if selector.pattern.is_wild:
            yield from filter(selector.matches, selector.feed.channels.values())
        elif channel := selector.feed.channels.get(selector.pattern.text):
            yield channel


def _drop(index: dict[K, dict[Key, None]], entry: K, key: Key) -> None:
    keys = index.get(entry)
    if keys is not None:
        keys.pop(key, None)
        if not keys:
            del index[entry]


def _link(audience: Audience, channel: Channel) -> None:
    if channel in audience.channels:
        return
    audience.channels.add(channel)
    if isinstance(audience, LosslessAudience):
        channel.audiences.append(audience)
