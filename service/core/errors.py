"""Refusals: everything the service says no to, as one kind of exception.

Must not know who is told (an HTTP body, a WebSocket message, a log line).
"""

from __future__ import annotations


class TickfanError(Exception):
    """The root of every error that this package raises on purpose."""


class Refusal(TickfanError):
    """A request that cannot be granted.

    ``code`` is a stable word for programs (``bad_channel``), ``message`` says
    what was wrong and what to do, ``item`` names the offending part (a
    channel, a field, an op) where there is one.
    """

    def __init__(self, code: str, message: str, item: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.item = item

    def as_dict(self) -> dict[str, str]:
        """The refusal as the body of an ``error`` message."""
        body = {"code": self.code, "message": self.message}
        if self.item is not None:
            body["item"] = self.item
        return body


POISON_REASONS = (
    "bad_batch", "bad_channel", "bad_content_type", "bad_json", "bad_key", "bad_msgpack",
    "bad_number", "bad_ts", "bad_type", "bad_value", "channels_max", "too_deep", "too_large",
    "wrong_feed",
)  # fmt: skip
RESET_REASONS = ("recreated", "truncated")


class Poison(TickfanError):
    """An inbound message, or a part of one, that cannot become an update.

    ``reason`` is one of POISON_REASONS (it labels a metric), ``detail`` says
    what was found.
    """

    def __init__(self, reason: str, detail: str, channel: str | None = None) -> None:
        assert reason in POISON_REASONS, reason
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.channel = channel


class QueueFull(TickfanError):
    """A bounded queue was offered more than it may hold; nothing was taken."""

    def __init__(self, updates: int, size: int) -> None:
        super().__init__(f"the queue is full: {updates} updates, {size} bytes wait")
        self.updates = updates
        self.size = size
