"""Which audiences exist, and which of them a channel concerns.

Must not know connections, nor what a subscription looked like when it came in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickfan.core.index import LOOKS, PatternIndex
from tickfan.fanout.audience import MEMBERS_MAX
from tickfan.fanout.conflated import ConflatedAudience
from tickfan.fanout.finding import LOOKS_AT_ONCE, Reach
from tickfan.fanout.lossless import LosslessAudience
from tickfan.fanout.timers import Flusher, TickGroup

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator, Sequence

    from tickfan.clock import Clock
    from tickfan.core.changes import ChangeLog
    from tickfan.core.feed import Channel, Feed
    from tickfan.core.pattern import Pattern
    from tickfan.core.tally import Tally
    from tickfan.fanout.audience import Key
    from tickfan.fanout.background import Background
    from tickfan.fanout.slices import Slices
    from tickfan.fanout.subscriber import Subscriber

    Audience = ConflatedAudience | LosslessAudience

SLOTS_MAX = 10
SLOT_MS_MIN = 10
"""Slots of one interval are at least this far apart."""
REMAINDER_MS = 10
"""The next part of a large tick follows after so long: sockets need time."""


class Directory:
    """Finds or makes the audience of a key, and keeps channels and audiences linked."""

    def __init__(  # noqa: PLR0913 - made in one place
        self,
        loop: asyncio.AbstractEventLoop,
        slices: Slices,
        background: Background,
        changes: ChangeLog[Channel],
        tally: Tally,
        clock: Clock,
    ) -> None:
        self._loop = loop
        self._slices = slices
        self._background = background
        self._changes = changes
        self._tally = tally
        self._clock = clock
        self._audiences: dict[Key, list[Audience]] = {}
        self._flushers: dict[int, Flusher] = {}
        self._groups: dict[int, list[TickGroup]] = {}
        self._home: dict[ConflatedAudience, TickGroup] = {}
        # A new channel finds its audiences by its name, if somebody waits for it,
        # or by its words; not by asking every audience, nor every wildcard.
        # Most names are waited for by one key: a dict of its own would be four times as large.
        self._exact: dict[str, Key | dict[Key, None]] = {}
        # Keys wait under patterns, whatever the feeds are: most wildcards are asked of several.
        self._wild: PatternIndex[Key] = PatternIndex()

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

    def reach(self, key: Key) -> Reach:
        """A search for the channels of the key, to be handed in by a member that joins."""

        def known() -> set[Channel] | None:
            siblings = self._audiences.get(key)
            return siblings[0].channels if siblings else None

        return Reach(key.selectors(), known)

    def join_lossless(self, member: Subscriber, key: Key, reach: Reach) -> LosslessAudience:
        """Put the member into a lossless audience with this key."""
        audience = self._find(key) or self._add(key, reach, ())
        assert isinstance(audience, LosslessAudience)
        audience.join(member)
        return audience

    def join_conflated(
        self, member: Subscriber, key: Key, reach: Reach, taken: Sequence[set[Channel]]
    ) -> ConflatedAudience:
        """Put the member into a conflated audience with this key.

        ``taken`` are the channels that it gets at shorter intervals: those that
        the key excludes.
        """
        audience = self._find(key) or self._add(key, reach, taken)
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
        keys = _as_dict(self._exact.pop(channel.name, {}))
        found = self._wild.find(channel.name)
        for pattern, waiting in found:
            keys.update((key, None) for key in waiting if _includes(key, channel.feed, pattern))
        matching = {pattern for pattern, _ in found}
        for key in keys:
            # What a key excludes waits here, too: its members get it at a shorter interval.
            if not any(part.matches(channel, matching) for part in key.exclude):
                siblings = self._audiences[key]
                siblings[0].channels.add(channel)  # it is one set for all of them
                for audience in siblings:
                    if isinstance(audience, LosslessAudience):
                        channel.audiences.append(audience)

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

    def _add(self, key: Key, reach: Reach, taken: Sequence[set[Channel]]) -> Audience:
        audience: Audience
        if key.interval_ms is None:
            flush_ms = min(feed.spec.flush_ms for feed in key.feeds)
            audience = LosslessAudience(key, self._tally, self._clock, self._flusher(flush_ms))
        else:
            audience = ConflatedAudience(
                key,
                self._tally,
                self._clock,
                self._flusher(REMAINDER_MS),
                self._changes.version,
            )
            group = min(self.groups_of(key.interval_ms), key=lambda c: len(c.audiences))
            group.add(audience)
            self._home[audience] = group
        siblings = self._audiences.setdefault(key, [])
        if siblings:
            audience.channels = siblings[0].channels
        else:
            self._index(key)
            reach.finish()
            reach.channels.difference_update(*taken)
            # A set that has grown has twice the room: of a copy this is given back.
            few = len(reach.channels) <= LOOKS_AT_ONCE
            audience.channels = set(reach.channels) if few else reach.channels
        siblings.append(audience)
        if isinstance(audience, LosslessAudience):
            for channel in audience.channels:
                channel.audiences.append(audience)
        return audience

    def _index(self, key: Key) -> None:
        self._wild.add(key, key.wildcards())
        exact = self._exact
        for feed, names, _ in key.include:
            for name in names:
                if name in feed.channels:
                    continue
                held = exact.setdefault(name, key)
                if isinstance(held, dict):
                    held[key] = None
                elif held is not key:
                    exact[name] = {held: None, key: None}

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
            # Until it is unlinked it takes what comes, and flushes it to nobody.
            steps = _unlink(audience, tuple(audience.channels))
            if len(audience.channels) > LOOKS_AT_ONCE:
                self._background.run(steps)
            else:
                for _ in steps:
                    pass

    def _unindex(self, key: Key) -> None:
        self._wild.remove(key, key.wildcards())
        for _, names, _ in key.include:
            for name in names:
                _drop(self._exact, name, key)
        if not self._exact:
            self._exact = {}  # a dict keeps the room that it once had

    def _flusher(self, flush_ms: int) -> Flusher:
        flusher = self._flushers.get(flush_ms)
        if flusher is None:
            flusher = self._flushers[flush_ms] = Flusher(self._loop, self._slices, flush_ms)
        return flusher


def _unlink(audience: LosslessAudience, channels: Sequence[Channel]) -> Iterator[None]:
    """Take an audience that has ended out of its channels; pauses on the way."""
    for start in range(0, len(channels), LOOKS):
        for channel in channels[start : start + LOOKS]:
            channel.audiences.remove(audience)
        yield


def _includes(key: Key, feed: Feed, pattern: Pattern) -> bool:
    return any(part.feed is feed and pattern in part.wild for part in key.include)


def _as_dict(held: Key | dict[Key, None]) -> dict[Key, None]:
    return held if isinstance(held, dict) else {held: None}


def _drop(index: dict[str, Key | dict[Key, None]], name: str, key: Key) -> None:
    held = index.get(name)
    if isinstance(held, dict):
        held.pop(key, None)
        if not held:
            del index[name]
    elif held == key:
        del index[name]
