"""Puts a connection into the audiences that its grants call for.

Must not know who asks, nor what the client is told.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from tickfan.core import closing
from tickfan.core.pattern import is_wild
from tickfan.fanout.audience import Key, Part
from tickfan.fanout.lossless import LosslessAudience
from tickfan.fanout.replay import HistoryReplay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tickfan.access.identity import Identity
    from tickfan.core.cursor import Place
    from tickfan.core.feed import Channel, Feed
    from tickfan.fanout.conflated import ConflatedAudience
    from tickfan.fanout.directory import Directory
    from tickfan.fanout.finding import Prepared, Reach
    from tickfan.fanout.replay import Pace
    from tickfan.fanout.subscriber import Subscriber
    from tickfan.session.grants import Grant
    from tickfan.wire.base import Format


class Connection:
    """One connection's grants, and the audiences that it is in."""

    __slots__ = (
        "behind_since", "conflated", "feeds", "grants", "has_asked", "heard_at", "id", "identity",
        "leaves_as", "leaves_at", "ping", "pinged_at", "remote", "subscriber",
    )  # fmt: skip

    def __init__(
        self,
        subscriber: Subscriber,
        id_: str,
        identity: Identity,
        remote: str = "",
        ping: bytes | None = None,
    ) -> None:
        """``id_`` is its own among all replicas. ``remote`` is the client's address.

        ``ping`` are the bytes of its wire's ping; None: it has none.
        """
        self.subscriber = subscriber
        self.id = id_
        self.identity = identity
        self.remote = remote
        self.ping = ping
        # When the last ping went out, and when something was last heard; the loop's clock.
        self.pinged_at = self.heard_at = subscriber.opened_at
        # It has subscribed to something; a stream of HTTP does when it comes.
        self.has_asked = ping is None
        # When it is asked to move on, on the loop's clock, and why.
        self.leaves_at, self.leaves_as = inf, closing.MAX_AGE
        # Since when it has been found behind at each look (inf: that is told); None: it was not.
        self.behind_since: float | None = None
        # By pattern, as it is kept: a name is its plain text. A later request for the same
        # pattern replaces the earlier one.
        self.grants: dict[str, tuple[Grant, ...]] = {}
        self.feeds: tuple[Feed, ...] = ()
        self.conflated: dict[int, ConflatedAudience] = {}

    @property
    def number(self) -> int:
        """Its place among all that ever came to this replica: the end of its name."""
        return int(self.id.rpartition("-")[2])

    @property
    def lossless(self) -> LosslessAudience | None:
        """The lossless audience that it is in."""
        audience = self.subscriber.audience
        assert audience is None or isinstance(audience, LosslessAudience)
        return audience

    @property
    def waiting(self) -> tuple[int, int]:
        """How many values and updates wait for it, and how many bytes."""
        backlog = self.subscriber.backlog
        if backlog is None:
            return 0, self.subscriber.pipe.get_write_buffer_size()
        return backlog.waiting

    @property
    def unread(self) -> int:
        """How many channels of its snapshots wait to be written."""
        backlog = self.subscriber.backlog
        return 0 if backlog is None else backlog.openings.marks

    def is_due(self) -> Callable[[Channel], bool]:
        """Whether a channel, of those that exist now, is one that it gets."""
        sets = [audience.channels for audience in self.conflated.values()]
        if self.lossless is not None:
            sets.append(self.lossless.channels)
        # It is asked of all that wait: a call of Python for each would hold the loop.
        due: set[Channel] = sets[0] if len(sets) == 1 else set().union(*sets)
        return due.__contains__

    def take_grants(
        self, granted: Mapping[str, tuple[Grant, ...]], feeds: Iterable[Feed]
    ) -> set[Feed]:
        """Add grants; returns the lossless feeds that are new to the connection.

        ``feeds`` are those of all of its grants then.
        """
        had = self.feeds
        self.grants.update(granted)
        self.feeds = tuple(feeds)
        return {feed for feed in self.feeds if feed.is_lossless and feed not in had}

    def replace_grants(
        self, granted: Mapping[str, tuple[Grant, ...]], feeds: Iterable[Feed]
    ) -> None:
        """Have these grants and no others. ``feeds`` are those of them."""
        self.grants = dict(granted)
        self.feeds = tuple(feeds)

    def drop_grants(self, patterns: Iterable[str], feeds: Iterable[Feed]) -> bool:
        """Remove the grants of these patterns; returns whether there were any.

        ``feeds`` are those of the grants that are left.
        """
        before = len(self.grants)
        for pattern in patterns:
            self.grants.pop(pattern, None)
        if len(self.grants) == before:
            return False
        self.feeds = tuple(feeds)
        return True


def keys_of(
    format_: Format, until: str | None, held: Mapping[str, tuple[Grant, ...]]
) -> tuple[Key | None, dict[int, Key]]:
    """What some grants together make a connection due: the lossless key, those by interval."""
    lossless: dict[Feed, list[str]] = {}
    by_interval: dict[int, dict[Feed, list[str]]] = {}
    for pattern, grants in held.items():
        for feed, interval_ms in grants:
            of = lossless if interval_ms is None else by_interval.setdefault(interval_ms, {})
            of.setdefault(feed, []).append(pattern)
    key = Key(format_, None, _parts(lossless), (), until) if lossless else None
    return key, _conflated_keys(format_, until, by_interval)


def _parts(of: Mapping[Feed, Iterable[str]]) -> tuple[Part, ...]:
    return tuple([Part.of(feed, of[feed]) for feed in sorted(of, key=lambda feed: feed.name)])


def _conflated_keys(
    format_: Format, until: str | None, by_interval: Mapping[int, Mapping[Feed, Iterable[str]]]
) -> dict[int, Key]:
    keys: dict[int, Key] = {}
    shorter: dict[Feed, set[str]] = {}
    for interval_ms in sorted(by_interval):
        of = by_interval[interval_ms]
        include = _parts(of)
        # A channel that several subscriptions match comes once, at the shortest
        # interval. Two names never match the same one: they are two names.
        exclude = [
            Part.of(
                part.feed,
                [one for one in shorter.get(part.feed, ()) if part.wild or is_wild(one)],
            )
            for part in include
        ]
        excluded = tuple([part for part in exclude if part.names or part.wild])
        keys[interval_ms] = Key(format_, interval_ms, include, excluded, until)
        for feed, patterns in of.items():
            shorter.setdefault(feed, set()).update(patterns)
    return keys


def regroup(connection: Connection, directory: Directory, prepared: Prepared) -> None:
    """Leave the audiences that no longer fit the grants and join those that do.

    What an old audience still owed goes along as backlog: changing a
    subscription loses nothing of the others.
    """
    lossless, conflated = prepared.keys
    _regroup_lossless(connection, directory, lossless, prepared.reaches)
    _regroup_conflated(connection, directory, conflated, prepared.reaches)


def _regroup_lossless(
    connection: Connection, directory: Directory, key: Key | None, reaches: Mapping[Key, Reach]
) -> None:
    subscriber, old = connection.subscriber, connection.lossless
    if key is None:
        if old is not None:
            subscriber.leave_lossless()
            directory.forget(subscriber, old)
        return
    if old is not None and old.key == key:
        return
    subscriber.step_aside()
    if old is not None:
        directory.leave(subscriber, old)
    directory.join_lossless(subscriber, key, reaches[key])


def _regroup_conflated(
    connection: Connection,
    directory: Directory,
    keys: Mapping[int, Key],
    reaches: Mapping[Key, Reach],
) -> None:
    subscriber = connection.subscriber
    for interval_ms, audience in list(connection.conflated.items()):
        if keys.get(interval_ms) != audience.key:
            del connection.conflated[interval_ms]
            directory.leave(subscriber, audience)
    taken: list[set[Channel]] = []
    for interval_ms, key in keys.items():  # the shortest first
        if interval_ms not in connection.conflated:
            connection.conflated[interval_ms] = directory.join_conflated(
                subscriber, key, reaches[key], taken
            )
        taken.append(connection.conflated[interval_ms].channels)


def resume(
    connection: Connection, fresh: set[Feed], places: Mapping[str, Place], pace: Pace
) -> dict[Feed, bool]:
    """Start to replay what was missed of the ``fresh`` feeds since ``places``.

    Returns, for each feed that the cursor speaks of, whether all of it can be
    recovered; a feed that cannot starts afresh.
    """
    recovered: dict[Feed, bool] = {}
    behind: dict[Feed, Place] = {}
    for feed in fresh:
        at = places.get(feed.name)
        if at is None:
            continue
        recovered[feed] = feed.recovers(at)
        if recovered[feed]:
            behind[feed] = at
    if behind:
        audience = connection.lossless
        assert audience is not None
        missed = {feed: at.replay_from for feed, at in behind.items()}
        connection.subscriber.resume(
            {feed.name: at for feed, at in behind.items()},
            HistoryReplay(audience.channels, audience.feeds, missed, pace),
        )
    return recovered
