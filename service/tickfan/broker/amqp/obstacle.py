"""A message of a stream that RabbitMQ cannot deliver: how often it is tried, how far to step.

A publisher that speaks RabbitMQ's stream protocol may write any bytes. If RabbitMQ fails to
make an AMQP 0-9-1 message of them, it closes the connection with an internal error (541), and
says nothing of the offset. What it has read together with that message is lost, too. So the
reader tries it a few times. Then it steps over one offset, two, four, and so on. So it needs
few connections for many such messages, and passes over twice as many at most. Must not know
channels or connections.
"""

from __future__ import annotations

TRIES = 3
"""So often a message is tried before it is stepped over: RabbitMQ may be ill for a moment."""
CLEAR_AFTER_S = 5.0
"""A message that comes so long after the step is in a later chunk of the stream."""
_DOUBLINGS_MAX = 40


class Obstacle:
    """What a reader of one stream knows of such a message."""

    def __init__(self) -> None:
        self.is_near = False
        """Whether one may be in the newest chunk, or next to what was read last."""
        self.tries = 0
        self._before: int | None = None
        self._since = 0.0
        self._received = 0

    def hit(self, before: int) -> None:
        """Note that the connection was closed; ``before`` is the last offset that was read."""
        if before != self._before:
            self._before, self.tries = before, 0
        self.tries += 1

    def step(self, before: int) -> int:
        """How many offsets to step over behind this one; 0: try what comes next (again)."""
        if self.tries <= TRIES or before != self._before:
            return 0
        return 1 << min(self.tries - TRIES - 1, _DOUBLINGS_MAX)

    def attached(self, now: float) -> None:
        """Note when the reader went on, by a clock in seconds."""
        self._since = now

    def is_passed(self, now: float, received: int) -> bool:
        """Whether messages have come that stand in later chunks; then it is forgotten.

        ``received`` counts the reader's messages.
        """
        if now - self._since < CLEAR_AFTER_S:
            self._received = received
        elif received != self._received:
            self.is_near = False
        return not self.is_near
