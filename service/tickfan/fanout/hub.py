"""Where updates meet subscribers.

``publish`` is a plain function. It sets the latest value and the history, gives the update
to lossless audiences, and marks a conflated channel. All else happens at a flush. Must not
know brokers, bodies, HTTP or WebSocket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tickfan.core.feed import Upstream
from tickfan.core.update import GAP, SNAPSHOT, UPDATE, Update
from tickfan.wire import events

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickfan.core.changes import ChangeLog
    from tickfan.core.feed import Channel, Feed
    from tickfan.core.tally import Tally
    from tickfan.fanout.directory import Directory


ENVELOPE_BYTES = 128
"""What a wire adds to an update's data and name: the fields' names, seq, ts, prev, a cursor.

It is counted, so that a bound in bytes holds for small updates, too."""


class Hub:
    """What happens to the feeds: an update, a gap, a reset, news of a source."""

    def __init__(
        self,
        changes: ChangeLog[Channel],
        directory: Directory,
        tally: Tally,
        tell: Callable[[Feed], None],
    ) -> None:
        """``tell`` is given each feed whose source has changed."""
        self._tally = tally
        self._changes = changes
        self._directory = directory
        self._tell = tell

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
            self._directory.add_channel(channel)
        size += len(name) + ENVELOPE_BYTES
        if size > feed.size_most:
            feed.size_most, feed.largest = size, channel
        if feed.is_lossless:
            self._publish_lossless(
                feed, Update(channel, seq, ts, data, type_, channel.seq, fingerprint, size, held)
            )
            return
        seq = channel.seq = (channel.seq or 0) + 1
        channel.latest = Update(channel, seq, ts, data, type_, None, None, size)
        if self._changes.mark(channel):
            self._tally.conflated[feed.name] += 1

    def gap(  # noqa: PLR0913 - as publish
        self, feed: Feed, name: str, reason: str, ts: int, seq: int, fingerprint: str | None
    ) -> None:
        """Tell a lossless channel's subscribers that a message could not be delivered.

        It takes its place in the chain and the history, as an update would.
        Raises :class:`~tickfan.core.errors.Poison` as :meth:`publish` does.
        """
        self._tally.gaps[feed.name] += 1
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
            audience.receive(update)
        feed.newest = update
        if update.seq >= feed.awaited.lowest:
            feed.awaited.reach(update.seq)

    def upstream(self, feed: Feed, state: Upstream, why: str, now_ms: int) -> None:
        """Note how a feed's source is doing, and tell its subscribers of a change."""
        if feed.upstream is state:
            feed.why = why
            return
        if state is Upstream.STALE:
            # A value that does not change from here on may have changed out of our sight.
            feed.confirmed_after = self._changes.version
        elif state is Upstream.LIVE and feed.spec.is_warm and not why:
            # All that was published meanwhile has been read back.
            feed.confirmed_after = 0
        feed.upstream, feed.why, feed.since_ms = state, why, now_ms
        feed.awaited.reach()
        self._tell(feed)

    def reset(self, feed: Feed, reason: str) -> None:
        """The feed's stream cannot be continued: forget it and say so."""
        self._tally.resets[feed.name, reason] += 1
        feed.restart()
        for audience in self._directory.lossless_of(feed):
            audience.restart(feed, events.reset(feed, reason))
