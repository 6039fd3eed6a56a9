"""The state of a feed, and of each of its channels.

Feed, channel and update know each other: they are one structure. Must not know
where updates come from, nor to which clients they go.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from tickfan.core.awaited import Awaited
from tickfan.core.cursor import START, place
from tickfan.core.errors import Poison
from tickfan.core.history import OVERHEAD_BYTES, History
from tickfan.core.index import ChannelIndex
from tickfan.core.pattern import Pattern
from tickfan.core.update import MESSAGE_UPDATES_MAX, SNAPSHOT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tickfan.core.cursor import Place
    from tickfan.core.spec import FeedSpec
    from tickfan.core.update import Update

STATE_UPDATES_MAX = 4096
"""Updates that are kept since a channel's last full state.

A publisher of order books should mark a full state more often than that. Else a client
that joins late gets none."""


class Upstream(StrEnum):
    """What is known of a feed's source."""

    STARTING = "starting"  # never been live since the process began
    LIVE = "live"
    STALE = "stale"  # was live; the broker is out of reach or silent


class Reader(Protocol):
    """What is due every update of a channel: a lossless audience."""

    def receive(self, update: Update) -> None:
        """Here is the channel's next update."""


class Schema(Protocol):
    """What the data of a feed must be like."""

    def check(self, data: Any) -> None:
        """Raise :class:`Poison` (``bad_schema``) for data that is not."""


class Channel:
    """One channel of one feed: its newest update and where its chain stands.

    ``version`` is the hub's change counter at the channel's last change: it
    orders changes of conflated channels. ``seq`` is the newest sequence
    number of the channel; on a lossless feed it is the next update's ``prev``.
    """

    __slots__ = ("audiences", "feed", "latest", "name", "seq", "state", "version")

    def __init__(self, name: str, feed: Feed) -> None:
        self.name = name
        self.feed = feed
        self.latest: Update | None = None
        self.seq: int | None = None
        self.version = 0
        # On a lossless feed whose publisher marks full states (order books):
        # the last one and every update since. Only ever appended to or replaced.
        self.state: list[Update] | None = None
        # The lossless audiences to touch at each update. Conflated ones are
        # found at their tick and are not listed here.
        self.audiences: list[Reader] = []

    def __repr__(self) -> str:
        return f"<Channel {self.name}>"


class Feed:
    """The state of one feed: its channels, its history, its source."""

    __slots__ = (
        "_beginnings", "awaited", "channels", "confirmed_after", "first_seq", "heard_ms", "history",
        "index", "is_lossless", "largest", "name", "newest", "patterns", "schema", "since_ms",
        "size_most", "spec", "state_size", "upstream", "why",
    )  # fmt: skip

    def __init__(self, spec: FeedSpec, schema: Schema | None = None) -> None:
        """Without a ``schema`` any data will do."""
        self.spec = spec
        self.schema = schema
        self.name = spec.name
        self.is_lossless = spec.is_lossless
        self.patterns = tuple(Pattern(text) for text in spec.bind)
        # The first words of what can match here, where these decide; None: they do not.
        self._beginnings: frozenset[str] | None = frozenset()
        for pattern in self.patterns:
            if pattern.beginnings is None or self._beginnings is None:
                self._beginnings = None
            else:
                self._beginnings |= pattern.beginnings
        self.channels: dict[str, Channel] = {}
        # The same channels, by their words.
        self.index: ChannelIndex[Channel] = ChannelIndex()
        self.history: History[Update] = History(spec.history_bytes_max if spec.is_lossless else 0)
        # The newest update of a lossless feed.
        self.newest: Update | None = None
        # The largest size of an update so far, and its channel. The size bounds that of many
        # without adding up.
        self.size_most = 0
        self.largest: Channel | None = None
        # What the channels' states count for, in bytes.
        self.state_size = 0
        # The seq of the first update read from the stream, None before it.
        self.first_seq: int | None = None
        self.upstream = Upstream.STARTING
        self.since_ms = 0
        self.why = ""
        # When the last message came, in ms since 1970 UTC; 0 before the first.
        self.heard_ms = 0
        # Clients that have a cursor from another replica, which has read further.
        self.awaited = Awaited()
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
        if self._beginnings is not None:
            return pattern.words[0] in self._beginnings
        if not pattern.is_wild:
            return self.covers(pattern.text)
        for own in self.patterns:  # noqa: SIM110 - any() takes twice as long, for one pattern
            if own.overlaps(pattern):
                return True
        return False

    def recovers(self, at: Place) -> bool:
        """Whether everything after ``at`` is held: a feed is recovered as a whole or not at all.

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
        # Its message is older than all that is held. Else it should be here.
        is_old = oldest is None or at.fingerprint == START or at.seq < oldest.seq
        return "history_lost" if is_old else "recreated"

    def is_behind(self, at: Place) -> bool:
        """Whether ``at`` is after everything that has been read so far.

        Another replica may be ahead. Or the stream is another one. Only time tells
        which: this stream grows, or is known to have been read to its end.
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
        """Keep a full state, or what follows one, for clients that join later.

        A state that would pass ``state_bytes_max`` (all of the feed's together)
        or STATE_UPDATES_MAX is forgotten. So is a state with a gap behind it: nobody
        could build on it any more. The next full state mends it.
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
        self.index.add(channel)
        return channel

    def looks(self, pattern: str, since: int = 0) -> int:
        """How many channels :meth:`find` would look at; a name is looked up."""
        if isinstance(pattern, Pattern) and pattern.is_wild:
            return self.index.looks(pattern, since)
        return 0

    def find(self, pattern: str, since: int = 0) -> Iterable[list[Channel]]:
        """The feed's channels that match, as :meth:`~ChannelIndex.find` gives them.

        A channel that is named comes whenever it came.
        """
        if isinstance(pattern, Pattern) and pattern.is_wild:
            return self.index.find(pattern, since)
        channel = self.channels.get(pattern)
        return () if channel is None else ([channel],)
