"""What can go wrong for a client, each with a name.

Must not know how it was said on the wire.
"""

from __future__ import annotations

RECONNECT_BELOW = 4500
"""Close codes from here on ask the client not to come back."""

LOST_CODE = 1006

FAILED_FROM = 500
"""An HTTP status from here on is no fault of the request (RFC 9110, 15.6)."""


class TickfanClientError(Exception):
    """The root of every error that this package raises on purpose.

    ``may_reconnect``: the same may go well a moment later, on a new connection.
    ``retry_ms`` is how long to wait before, in ms, where the service said so.
    """

    may_reconnect = False
    retry_ms: int | None = None


class Unreachable(TickfanClientError):
    """No connection could be made; the message says where to and why."""

    may_reconnect = True


class ProtocolError(TickfanClientError):
    """The other side said something that this client cannot understand."""


class Refused(TickfanClientError):
    """The service said no to a request.

    ``code`` is a stable word for programs (``bad_channel``), ``message`` says
    what to do, ``item`` names the offending part where there is one. ``status`` is that
    of HTTP: after one from 500 on a later try may go well.
    """

    def __init__(
        self, code: str, message: str, item: str | None = None, status: int | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.may_reconnect = status is not None and status >= FAILED_FROM
        self.code = code
        self.message = message
        self.item = item


class Closed(TickfanClientError):
    """The connection has ended, and the client did not ask for it.

    ``reason`` and ``code`` are of the service's closing table (``lost``, 1006:
    it was cut without a word).
    """

    def __init__(
        self, reason: str, code: int, message: str = "", retry_ms: int | None = None
    ) -> None:
        super().__init__(f"closed ({reason}, {code})" + (f": {message}" if message else ""))
        self.reason = reason
        self.code = code
        self.message = message
        self.retry_ms = retry_ms
        self.may_reconnect = code < RECONNECT_BELOW


def lost(message: str, retry_ms: int | None = None) -> Closed:
    """The connection was cut without a closing message."""
    return Closed("lost", LOST_CODE, message, retry_ms)
