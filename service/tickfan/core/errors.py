"""The errors that the service raises on purpose: a refusal, a poison message, a full queue.

Must not know where an error is told (an HTTP body, a WebSocket message, a log line).
"""

from __future__ import annotations

from typing import NamedTuple


class TickfanError(Exception):
    """The root of every error that this package raises on purpose."""


POISON_REASONS = (
    "bad_batch", "bad_channel", "bad_content_type", "bad_json", "bad_key", "bad_msgpack",
    "bad_number", "bad_schema", "bad_ts", "bad_type", "bad_value", "channels_max", "too_deep",
    "too_large", "wrong_feed",
)  # fmt: skip
REFUSAL_CODES = (
    *POISON_REASONS, "address_limit", "admin_off", "bad_cursor", "bad_field", "bad_message",
    "bad_pattern", "bad_request", "bad_subprotocol", "bad_ticket", "bad_token", "broker_blocked",
    "broker_down", "drain", "expired", "forbidden", "headers_too_large", "internal", "late_cursor",
    "message_too_big", "method_not_allowed", "more_refused", "no_channels", "no_connection",
    "no_feed", "no_value", "not_found", "not_lossless", "origin_forbidden", "overload",
    "publish_failed", "publish_forbidden", "publish_off", "publish_unauthorized", "rate_limited",
    "request_timeout", "starting", "throttled", "tickets_off", "tls_required", "too_many_channels",
    "too_many_revocations", "too_many_wildcards", "unauthorized", "unconfirmed", "unknown_op",
    "unroutable", "unsupported_media_type", "upgrade_required", "wrong_frame",
)  # fmt: skip


class Refusal(TickfanError):
    """A request that cannot be granted.

    ``code`` is one of REFUSAL_CODES (programs read it, and it labels a metric),
    ``message`` says what was wrong and what to do, ``item`` names the offending
    part (a channel, a field, an op) where there is one.
    """

    def __init__(self, code: str, message: str, item: str | None = None) -> None:
        assert code in REFUSAL_CODES, code
        super().__init__(message)
        self.code = code
        self.message = _tellable(message)
        self.item = None if item is None else _tellable(item)


def _tellable(text: str) -> str:
    """The text in UTF-8. A header may hold any bytes, and HTTP's parser makes surrogates of them.

    No encoder takes those: the answer to a handshake with one byte of them was 500.
    """
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


RESET_REASONS = ("recreated", "truncated", "unbound", "undeliverable")


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


class Bound(NamedTuple):
    """A bound that was reached, and what waited then.

    ``name`` is that of its setting. One in capitals is a constant, which cannot be set.
    ``size`` is in bytes.
    """

    name: str
    updates: int = 0
    size: int = 0


class QueueFull(TickfanError):
    """A bounded queue was offered more than it may hold; nothing was taken."""

    def __init__(self, bound: Bound) -> None:
        name, updates, size = bound
        super().__init__(f"{name} is reached: {updates} updates, {size} bytes wait")
        self.bound = bound
