"""Why a connection ends: one table for every wire, log and metric.

A code from 4000 to 4499 asks the client to come back. One from 4500 to 4999 asks it not
to: the same request would be refused again. The codes are WebSocket close codes of the
private range (RFC 6455, section 7.4.2); SSE and NDJSON carry them in their ``closing``
event. Must not know who ends a connection, nor how it is told.
"""

from __future__ import annotations

from typing import NamedTuple


class Reason(NamedTuple):
    """A row of the table. ``name`` labels the metric and stands in the log."""

    name: str
    code: int
    message: str

    @property
    def may_reconnect(self) -> bool:
        """Whether the client is asked to come back."""
        return self.code < 4500


STARTING = Reason("starting", 4000, "the service is still reading its feeds; come back")
SLOW = Reason("slow", 4001, "the client reads slower than its lossless feeds come in")
STALLED = Reason(
    "stalled", 4002, "the client has read nothing for stall_timeout_s, or too many events wait"
)
DRAIN = Reason("drain", 4003, "this replica is stopping; come back to another")
EXPIRED = Reason("expired", 4004, "the token has expired; come back with a new one")
MAX_AGE = Reason("max_age", 4005, "the connection has reached its maximum age; come back")
OVERLOAD = Reason("overload", 4006, "this replica has as many connections as it may; come back")
NO_PONG = Reason("no_pong", 4007, "the client did not answer a ping")
INTERNAL = Reason("internal", 4008, "the service failed, and its log says why; come back")
# Said by a proxy in front of a service that cannot be reached (config/nginx.conf, haproxy.cfg).
UNAVAILABLE = Reason("unavailable", 4009, "no replica can be reached; come back")
THROTTLED = Reason(
    "throttled", 4010,
    "the client or its address is over a share or a rate that passes; come back later",
)  # fmt: skip
BAD_TOKEN = Reason("bad_token", 4500, "the token is not valid here, or none came in time")
BAD_REQUEST = Reason("bad_request", 4501, "the request cannot be understood")
FORBIDDEN = Reason(
    "forbidden", 4502, "the token was revoked, or an operator has ended this connection"
)
LIMIT = Reason("limit", 4503, "the client is over one of its limits")
DONE = Reason("done", 4504, "the stream has reached the end that was asked for")

# The client's own ways to go. Nothing is sent for them; they are counted and logged.
LEFT = Reason("left", 1000, "the client closed the connection")
LOST = Reason("lost", 1006, "the connection was cut")

REASONS: dict[str, Reason] = {
    reason.name: reason
    for reason in (
        STARTING, SLOW, STALLED, DRAIN, EXPIRED, MAX_AGE, OVERLOAD, NO_PONG, INTERNAL,
        UNAVAILABLE, THROTTLED,
        BAD_TOKEN, BAD_REQUEST, FORBIDDEN, LIMIT, DONE, LEFT, LOST,
    )
}  # fmt: skip
