"""What a reader of a stream makes of each message: the next one, a hole, or the wrong one.

Retention does not wait for a reader. A reader that retention overtakes is not told: its
next message simply stands further on. Offsets have holes by themselves, so a hole proves
nothing. But retention drops from the front only. So at a hole the reader attaches again at
the message before it. If that message still stands, nothing after it has been dropped.

Must not know where a reader attaches, nor what the sink does with a message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickfan.broker.amqp.advice import not_a_stream
from tickfan.broker.amqp.consumer import ConsumerLost
from tickfan.broker.amqp.feed import AmqpFeed
from tickfan.broker.amqp.obstacle import Obstacle
from tickfan.broker.amqp.tail import Seen

if TYPE_CHECKING:
    from tickfan.broker.amqp.connection import AmqpOptions
    from tickfan.broker.amqp.outages import Outages
    from tickfan.broker.base import FeedSource, Received, Sink


class Changed(ConsumerLost):
    """The stream is not the one that was read, or lost what was not read yet."""

    def __init__(self, word: str) -> None:
        super().__init__(f"the stream was {word}", f"stream {word}")
        self.word = word


class Doubt(ConsumerLost):
    """Messages may have been dropped before they were read."""

    cause = "messages may be missing"


class WarmTooLate(ConsumerLost):
    """The stretch to read back begins after the tail."""


class StreamReader(AmqpFeed):
    """Hands over each offset once, in order; the rest of a lossless feed says where it begins."""

    def __init__(
        self,
        source: FeedSource,
        sink: Sink,
        options: AmqpOptions,
        outages: Outages | None = None,
    ) -> None:
        super().__init__(source, sink, options, outages)
        self._last: Seen | None = None
        # The offset of ``_last`` as a plain number, for the hot path.
        self._offset = -1
        # A message this far behind the last one is still no reason for a doubt.
        self._step_max = 1 + options.hole_max
        # The tail at the attach. Live when the target has been delivered; None: it has.
        self._tail = -1
        self._target: int | None = None
        # A reset that is told between the tail and what comes after it.
        self._owed = ""
        # The first message has to be this one (a resume) …
        self._expect: Seen | None = None
        # … or to stand at this offset at most (a warm start).
        self._first_most: int | None = None
        # The hole that a reader has met last: the offsets on both sides of it.
        self._hole: tuple[int, int] | None = None
        # Known to have been empty: whatever is there now has come since.
        self._was_empty = False
        self._silences = 0
        self.obstacle = Obstacle()

    def handle(self, message: Received) -> None:
        """One message; the hot path."""
        offset = message.offset
        if offset is None:
            self._lose(not_a_stream(self.source))
            return
        if self._first_most is not None:
            if offset > self._first_most:
                self._lose(WarmTooLate("the stream has nothing as old as that"))
                return
            self._first_most = None
        if self._expect is None:
            if offset <= self._offset:
                if self._last is None:  # what was to come stands behind it, in that stream
                    self._reset("recreated")
                    self._lose(Changed("recreated"))
                return
            if offset > self._offset + self._step_max and self._is_doubtful(offset):
                return
        seen = Seen(offset, message.fingerprint())
        if self._expect is not None:
            self._verify(seen, self._expect)
            return
        self._offset = offset
        self._last = seen
        if self._target is not None and offset >= self._target:
            self._arrive(message, seen)
            return
        self.hand_over(message, seen.fingerprint)

    def _arrive(self, message: Received, seen: Seen) -> None:
        """Take the message with which the feed is up to date."""
        self._target = None
        if seen.offset > self._tail:
            self._pay()
        self.hand_over(message, seen.fingerprint)
        self.live()

    def live(self, why: str = "") -> None:
        """As the base says; a reset that is owed comes first."""
        self._pay()
        super().live(why)

    def _pay(self) -> None:
        """Tell the reset that is owed."""
        word, self._owed = self._owed, ""
        if word:
            self._sink.reset(self.name, word)

    def _verify(self, seen: Seen, expected: Seen) -> None:
        """The first message of a resume: the one we had last, or the end."""
        self._expect = None
        if seen != expected:
            self._lose(Changed("recreated" if seen.offset <= expected.offset else "truncated"))

    def _is_doubtful(self, offset: int) -> bool:
        """Whether messages may be missing before this one; ends the consumer if so."""
        last = self._last
        if last is None:
            if self._was_empty:  # it was read from its first message on
                self._reset("truncated")
                self._target = offset
            return False
        hole = (last.offset, offset)
        if hole == self._hole:
            # It was met before, and since then the message before it has been seen to
            # stand: there was nothing in the hole.
            return False
        self._hole = hole
        self._lose(Doubt(f"offsets {last.offset} to {offset}: has retention overtaken the reader?"))
        return True

    def _lose(self, end: Exception) -> None:
        if self.consumer is not None:
            self.consumer.lose(end)

    def _reset(self, word: str) -> None:
        """Forget the stream that was, and tell."""
        self.down(f"the stream was {word}", f"stream {word}")
        self._last = self._hole = None
        self._owed = ""
        self._offset = -1
        self._was_empty = False
        self._silences = 0
        self.obstacle = Obstacle()
        self._sink.reset(self.name, word)
