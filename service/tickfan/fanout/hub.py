"""Where updates meet subscribers.

``publish`` is a plain function: latest value and history are set, lossless
audiences take the update, a conflated channel is marked; everything else
happens at a flush. Must not know brokers, bodies, HTTP or WebSocket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tickfan.core.changes import ChangeLog
from tickfan.core.feed import Feed, Upstream
from tickfan.core.tally import Tally
from tickfan.core.update import GAP, SNAPSHOT, UPDATE, Update
from tickfan.fanout.background import Background
from tickfan.fanout.directory import Directory
from tickfan.fanout.pump import Pump
from tickfan.fanout.replay import Pace
from tickfan.fanout.slices import Slices

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence

    from tickfan.core.cursor import Place
    from tickfan.core.feed import Channel
    from tickfan.core.spec import FeedSpec

    Listener = Callable[[Feed, str, dict[str, Any]], None]


ENVELOPE_BYTES = 128
"""What a wire adds to an update's data and name: the fields' names, seq, ts,
prev and a cursor. Counted, so that a bound in bytes holds for small updates."""


class Hub:
    """The feeds and their channels, and the machinery that writes them out."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        feeds: Sequence[FeedSpec],
        *,
        stall_timeout_s: float = 60.0,
        replays_max: int = 100,
        replay_bytes_per_s: int = 64 * 2**20,
    ) -> None:
        """Must be made in the loop's thread; the limits are those of the settings' [stream]."""
        self.loop = loop
        self.feeds = {spec.name: Feed(spec) for spec in feeds}
        self.tally = Tally()
        self.slices = Slices(loop)
        self.background = Background(loop, self.slices)
        self.pump = Pump(loop, self.slices, self.tally, stall_timeout_s)
        self.pace = Pace(loop.time, replays_max, replay_bytes_per_s)
        self._changes: ChangeLog[Channel] = ChangeLog()
        self.directory = Directory(loop, self.slices, self.background, self._changes, self.tally)
        # Told of feed events (status); set by whoever knows the connections.
        self.listener: Listener | None = None

    def publish(  # noqa: PLR0913 - the one door of the hot path
        self,
        feed: Feed,
        name: str,
        data: Any,
        ts: int,
        *,
        type_: str = UPDATE,
        size: int = 0,
        held: int = 0,
        seq: int = 0,
        fingerprint: str | None = None,
    ) -> None:
        """Take one update of ``feed``; never waits.

        ``seq`` and ``fingerprint`` are the stream's, for a lossless feed. ``size`` and
        ``held`` are what its data counts for on a wire and in memory, in bytes. Raises
        :class:`~tickfan.core.errors.Poison` (``channels_max``) for a new
        channel over the feed's limit.
        """
        channel = feed.channels.get(name)
        if channel is None:
            channel = feed.add_channel(name)
            self.directory.add_channel(channel)
        size += len(name) + ENVELOPE_BYTES
        if feed.is_lossless:
            self._publish_lossless(
                feed, Update(channel, seq, ts, data, type_, channel.seq, fingerprint, size, held)
            )
            return
        if size > feed.size_most:  # noqa: PLR1730 - a call costs three times as much
            feed.size_most = size
        seq = channel.seq = (channel.seq or 0) + 1
        channel.latest = Update(channel, seq, ts, data, type_, None, None, size)
        if self._changes.mark(channel):
            self.tally.folded[feed.name] += 1

    def gap(  # noqa: PLR0913 - as publish
        self, feed: Feed, name: str, reason: str, ts: int, seq: int, fingerprint: str | None
    ) -> None:
        """Tell a lossless channel's subscribers that a message could not be delivered.

        It takes its place in the chain and the history, as an update would.
        Raises :class:`~tickfan.core.errors.Poison` as :meth:`publish` does.
        """
        self.tally.gaps[feed.name] += 1
        self.publish(feed, name, reason, ts, type_=GAP, seq=seq, fingerprint=fingerprint)

    def _publish_lossless(self, feed: Feed, update: Update) -> None:
        channel = update.channel
        channel.seq = update.seq
        if update.type != GAP:
            channel.latest = update
        if channel.state is not None or update.type == SNAPSHOT:
            feed.keep_state(update)
        feed.history.append(update)
        if feed.first_seq is None:
            feed.first_seq = update.seq
        # Before the feed moves on: an audience notes where its batch begins.
        for audience in channel.audiences:
            audience.take(update)
        feed.newest = update

    def upstream(self, feed: Feed, state: Upstream, why: str, now_ms: int) -> None:
        """Note how a feed's source is doing, and tell its subscribers of a change."""
        if feed.upstream is state:
            feed.why = why
            return
        if state is Upstream.STALE:
            # What does not change from here on may have changed out of our sight.
            feed.confirmed_after = self._changes.version
        elif state is Upstream.LIVE and feed.spec.is_warm and not why:
            # All that was published meanwhile has been read back.
            feed.confirmed_after = 0
        feed.upstream, feed.why, feed.since_ms = state, why, now_ms
        if self.listener is not None:
            self.listener(feed, "status", {"feed": feed.name, **self.status(feed)})

    @staticmethod
    def status(feed: Feed) -> dict[str, Any]:
        """The state of a feed's source as clients see it.

        ``heard`` is when its last message came (null: none yet). ``unconfirmed``
        counts conflated channels whose value was not received since the last
        outage began.
        """
        fields: dict[str, Any] = {
            "upstream": feed.upstream.value,
            "since": feed.since_ms,
            "heard": feed.heard_ms or None,
        }
        if not feed.is_lossless and feed.confirmed_after:
            channels = feed.channels.values()
            fields["unconfirmed"] = sum(not feed.is_confirmed(channel) for channel in channels)
        return fields

    def reset(self, feed: Feed, reason: str) -> None:
        """The feed's stream cannot be continued: forget it and say so."""
        self.tally.resets[feed.name, reason] += 1
        feed.restart()
        for audience in self.directory.lossless_of(feed):
            audience.restart(feed, {"feed": feed.name, "reason": reason})

    def feed_of(self, name: str) -> Feed | None:
        """The feed that covers a channel name."""
        for feed in self.feeds.values():
            if name in feed.channels or feed.covers(name):
                return feed
        return None

    def channel(self, name: str) -> Channel | None:
        """A channel that has had an update."""
        feed = self.feed_of(name)
        return None if feed is None else feed.channels.get(name)

    def behind(self, places: Mapping[str, Place]) -> list[Feed]:
        """The lossless feeds that have not been read as far as a cursor's places."""
        feeds = (self.feeds.get(name) for name in places)
        return [feed for feed in feeds if feed is not None and feed.is_lossless
                and feed.is_behind(places[feed.name])]  # fmt: skip

    @property
    def is_ready(self) -> bool:
        """Whether every feed has been read to its tail once.

        An outage of the broker does not end it: clients are told that values
        are stale, while a service without a ready replica answers 503, after
        which an EventSource never comes back.
        """
        return not self.is_starting

    @property
    def is_starting(self) -> bool:
        """Whether some feed has never been live: nobody can be served right."""
        return any(feed.upstream is Upstream.STARTING for feed in self.feeds.values())

    def stop(self) -> None:
        """End every timer and drop what is still to be written."""
        self.directory.stop()
        self.pump.stop()
        self.background.stop()
        self.slices.stop()
