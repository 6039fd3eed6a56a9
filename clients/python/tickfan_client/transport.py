"""What the client asks of a transport, and the options all of them share.

Must not know any one of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp

from tickfan_client.errors import TickfanClientError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from yarl import URL

    from tickfan_client.events import Received

MESSAGE_BYTES_MAX = 16 * 2**20
"""One message, line or event, at most; a larger one ends the connection."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """What is asked for. ``interval_ms``: news of a channel that often, at most."""

    id: int
    channels: Sequence[str]
    interval_ms: int | None = None
    snapshot: bool = True
    cursor: str | None = None
    until: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The subscription as the protocol has it, without what was left open."""
        body: dict[str, Any] = {"channels": list(self.channels), "snapshot": self.snapshot}
        if self.interval_ms is not None:
            body["interval_ms"] = self.interval_ms
        if self.cursor is not None:
            body["cursor"] = self.cursor
        if self.until is not None:
            body["until"] = self.until
        return body


@dataclass(frozen=True, slots=True)
class Options:
    """How to reach the service, and how long to wait for it.

    ``connect_timeout_s`` bounds getting an answer. ``idle_timeout_s`` is the
    longest silence: the service speaks every 15 s, if only to say that it lives.
    """

    url: URL
    headers: Mapping[str, str] = field(default_factory=dict)
    connect_timeout_s: float = 10.0
    idle_timeout_s: float = 60.0
    message_bytes_max: int = MESSAGE_BYTES_MAX


class Transport(Protocol):
    """One connection. Everything is read by :meth:`receive`, and only there."""

    async def open(self, http: aiohttp.ClientSession) -> None:
        """Connect, where the transport does so before it is asked for anything."""

    async def subscribe(self, subscription: Subscription) -> None:
        """Ask for channels; the answer comes through :meth:`receive`."""

    async def receive(self) -> list[Received]:
        """The next items, at least one. Raises :class:`Closed` at the end."""

    async def close(self) -> None:
        """Leave. Idempotent."""


def why(error: BaseException) -> str:
    """An error in a few words, also where it has none of its own, or too many."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the host name {error.host!r} is not known"
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused"
    if isinstance(cause, TimeoutError):
        return "timed out"
    return str(cause) or type(cause).__name__


class AlreadySubscribed(TickfanClientError):
    """A stream over plain HTTP has one subscription, the one it was opened with."""

    def __init__(self) -> None:
        super().__init__(
            "this transport takes one subscription a connection; name all channels in it, "
            "open another client, or use transport='ws'"
        )
