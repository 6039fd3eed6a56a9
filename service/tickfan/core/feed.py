"""A feed: what is configured for a family of channels, and what is known of it.

Must not know where updates come from nor who gets them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tickfan.core.cursor import START, place
from tickfan.core.errors import Poison, TickfanError
from tickfan.core.history import OVERHEAD_BYTES, History
from tickfan.core.pattern import Channel, Pattern
from tickfan.core.update import MESSAGE_UPDATES_MAX, SNAPSHOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tickfan.core.cursor import Place
    from tickfan.core.update import Update

STATE_UPDATES_MAX = 4096
"""Updates kept since a channel's last full state: a publisher of order books
should mark one more often, or nobody who joins late gets one."""


class Delivery(StrEnum):
    """The two policies; they share no code on purpose."""

    CONFLATED = "conflated"
    LOSSLESS = "lossless"


class Upstream(StrEnum):
    """What is known of a feed's source."""

    STARTING = "starting"  # never been live since the process began
    LIVE = "live"
    STALE = "stale"  # was live; the broker is out of reach or silent


class FeedOverlap(TickfanError):
    """Two feeds would both cover some channel."""

    def __init__(self, left: str, pattern: str, right: str, other: str) -> None:
        super().__init__(
            f"feed {right!r} binds {other!r}, which overlaps {pattern!r} of feed {left!r}: "
            "a channel belongs to one feed"
        )


@dataclass(frozen=True, slots=True)
class FeedSpec:
    """One feed as configured. Names end with their unit.

    ``is_warm``: what a conflated feed missed in an outage is read back after it.
    ``interval_ms`` holds for conflated feeds; ``flush_ms``, ``queue_*``,
    ``history_*`` and ``state_*`` for lossless ones; the rest for both. The settings that only
    a broker reads (queue names, retention) are its own, in ``broker.base``.
    """

    name: str
    bind: tuple[str, ...]
    delivery: Delivery
    interval_ms: int = 100
    flush_ms: int = 10
    queue_updates_max: int = 10_000
    queue_bytes_max: int = 4 * 2**20
    history_bytes_max: int = 64 * 2**20
    state_bytes_max: int = 64 * 2**20
    channels_max: int = 100_000
    is_warm: bool = False

    @property
    def is_lossless(self) -> bool:
        """Whether every update is delivered."""
        return self.delivery is Delivery.LOSSLESS


class Feed:
    """The state of one feed: its channels, its history, its source."""

    __slots__ = (
        "channels", "confirmed_after", "first_seq", "heard_ms", "history", "is_lossless", "name",
        "newest", "patterns", "since_ms", "size_most", "spec", "state_size", "upstream", "why",
    )  # fmt: skip

    def __init__(self, spec: FeedSpec) -> None:
        self.spec = spec
        self.name = spec.name
        self.is_lossless = spec.is_lossless
        self.patterns = tuple(Pattern(text) for text in spec.bind)
        self.channels: dict[str, Channel] = {}
        self.history = History(spec.history_bytes_max if spec.is_lossless else 0)
        # The newest update of a lossless feed.
        self.newest: Update | None = None
        # The largest size of an update so far: what many are at most, without adding up.
        self.size_most = 0
        # What the channels' states count for, in bytes.
        self.state_size = 0
        # The seq of the first update read from the stream, None before it.
        self.first_seq: int | None = None
        self.upstream = Upstream.STARTING
        self.since_ms = 0
        self.why = ""
        # When the last message came, in ms since 1970 UTC; 0 before the first.
        self.heard_ms = 0
        # Conflated: values not changed since this version may be out of date.
        self.confirmed_after = 0

    @property
    def place(self) -> str:
        """The feed's part of a cursor just after its newest update."""
        newest = self.newest
        return (None if newest is None else newest.place) or place(self.name, 0, START)

    def covers(self, name: str) -> bool:
        """Whether a channel of this name belongs to the feed."""
        return any(pattern.matches(name) for pattern in self.patterns)

    def overlaps(self, pattern: Pattern) -> bool:
        """Whether the pattern can match any of the feed's channels."""
        if not pattern.is_wild:
            return self.covers(pattern.text)
        return any(own.overlaps(pattern) for own in self.patterns)

    def recovers(self, at: Place) -> bool:
        """Whether everything after ``at`` is held: all, or nothing (design).

        A place before the first message recovers if the history reaches back
        to the first message of the stream.
        """
        if at.fingerprint == START:
            return self.history.evicted is None and (
                self.first_seq is None or self.first_seq < MESSAGE_UPDATES_MAX
            )
        return self.history.holds(at)

    def is_confirmed(self, channel: Channel) -> bool:
        """Whether the channel's value was received since the last outage began."""
        return channel.version > self.confirmed_after

    def why_not(self, at: Place) -> str:
        """Why nothing can be recovered after ``at``: a word for ``reset``."""
        oldest = self.history.oldest
        # Older than all that is held; else its message should be here.
        is_old = oldest is None or at.fingerprint == START or at.seq < oldest.seq
        return "history_lost" if is_old else "recreated"

    def is_behind(self, at: Place) -> bool:
        """Whether ``at`` is after everything that has been read so far.

        Another replica may be ahead. Or the stream is another one, which only
        time tells: this one grows, or is known to have been read to its end.
        """
        newest = self.history.newest
        return at.fingerprint != START and (newest is None or newest.seq < at.seq)

    def restart(self) -> None:
        """Forget the stream: what comes next follows nothing that came before."""
        self.history.clear()
        self.newest = None
        self.first_seq = None
        for channel in self.channels.values():
            channel.seq = channel.latest = None
            self.drop_state(channel)

    def keep_state(self, update: Update) -> None:
        """Keep a full state, or what follows one, for those who join later.

        A state that would pass ``state_bytes_max`` (all of the feed's together)
        or STATE_UPDATES_MAX is forgotten, and so is one with a gap behind it:
        it could not be built from any more. The next full state mends it.
        """
        channel = update.channel
        size = update.held + OVERHEAD_BYTES
        if update.type == SNAPSHOT:
            self.drop_state(channel)
            channel.state = []
        state = channel.state
        if state is None:
            return
        if (
            update.is_gap
            or len(state) >= STATE_UPDATES_MAX
            or self.state_size + size > self.spec.state_bytes_max
        ):
            self.drop_state(channel)
            return
        state.append(update)
        self.state_size += size

    def drop_state(self, channel: Channel) -> None:
        """Forget the channel's full state."""
        for update in channel.state or ():
            self.state_size -= update.held + OVERHEAD_BYTES
        channel.state = None

    def add_channel(self, name: str) -> Channel:
        """A new channel of this feed.

        Raises :class:`Poison` (``channels_max``) at the limit.
        """
        if len(self.channels) >= self.spec.channels_max:
            raise Poison(
                "channels_max",
                f"feed {self.name!r} has {self.spec.channels_max} channels already; "
                "raise channels_max or publish to fewer",
                name,
            )
        channel = self.channels[name] = Channel(name, self)
        return channel


def check_overlaps(feeds: Sequence[FeedSpec]) -> None:
    """Raise :class:`FeedOverlap` if two feeds would both cover some channel."""
    for index, left in enumerate(feeds):
        for right in feeds[index + 1 :]:
            for a in _patterns(left):
                for b in _patterns(right):
                    if a.overlaps(b):
                        raise FeedOverlap(left.name, a.text, right.name, b.text)


def _patterns(spec: FeedSpec) -> Iterable[Pattern]:
    return (Pattern(text) for text in spec.bind)
