"""A connection that the fan-out writes to, from its welcome to its last byte.

SSE, NDJSON and WebSocket share this, once aiohttp has let the connection go. Must not
know any of the three.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import structlog

from tickfan.core import closing
from tickfan.session.account import account
from tickfan.transports.taker import Taker

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from tickfan.core.closing import Reason
    from tickfan.session.membership import Connection
    from tickfan.transports.addresses import Address
    from tickfan.transports.admission import Admission
    from tickfan.transports.server import Handler

log = structlog.get_logger("tickfan.connection")


class Guest(Taker):
    """A connection that the hub writes to, from its welcome to its last byte.

    It has no task and no timer of its own while it is quiet.
    """

    __slots__ = ("_client", "_cut", "admission", "connection", "name")

    def __init__(self, admission: Admission, name: str) -> None:
        """``name`` of the transport, for the log."""
        self.admission = admission
        self.name = name
        self.connection: Connection | None = None  # once the hub knows it, until it has left
        self._cut: asyncio.TimerHandle | None = None
        self._client: Address | None = None  # while it counts for its client's address

    def come_from(self, remote: str) -> Reason | None:
        """Count it for its client's address until it ends; or why it may not come in."""
        addresses = self.admission.addresses
        if addresses.has_streams(remote):
            return closing.THROTTLED
        self._client = addresses.open_stream(remote)
        return None

    def charge(self, cost_s: float) -> None:
        """Let its client's address pay for the loop's time, in seconds, that went for it."""
        if self._client is not None:
            self._client.charge(cost_s)

    def settle(self) -> None:
        """Charge what was spent on its snapshots by now."""
        if self.connection is not None:
            self.charge(self.admission.connections.spent_on(self.connection))

    def let_go(self) -> None:
        """Count it no more for its client's address. Idempotent."""
        self.settle()
        client, self._client = self._client, None
        if client is not None:
            client.table.close_stream(client)

    @contextlib.contextmanager
    def until_taken(self) -> Iterator[None]:
        """What is not taken in the end counts no more. What is, ends by :meth:`connection_lost`."""
        try:
            yield
        finally:
            if not hasattr(self, "transport"):
                self.let_go()

    def take(self, handler: Handler) -> Reason | None:
        """Take the connection over. Else returns why not, and it is still aiohttp's."""
        try:
            handler.hand_over(self)
        except ConnectionError:
            return closing.LOST
        except OSError as error:
            log.warning(
                "no file for a connection: raise the limit of open files", detail=str(error)
            )
            return closing.OVERLOAD
        return None

    def on_end(self, _reason: Reason) -> None:
        """The hub has ended it; an audience may be in the middle of a flush, so: later.

        As a job of the slices: thousands may be ended at once, and must not hold the loop. In
        the next turn, as what the client has just sent is read before: a socket that is closed
        with bytes unread is reset (RFC 9293, section 3.10.4), and the client loses the end.
        """
        self.admission.loop.call_soon(self.admission.slices.add, self._ended)

    def _ended(self) -> None:
        if self.connection is not None:
            self.goodbye(self.connection.subscriber.ended or closing.INTERNAL)

    def goodbye(self, reason: Reason) -> None:
        """Leave the hub and say why, with :meth:`last_words`; cut a client that reads none."""
        connection = self.connection
        cursor = None
        # A finished stream ends at its last update, not at its feed's tail.
        if connection is not None and reason is not closing.DONE:
            cursor = connection.subscriber.cursor
        self.leave(reason)
        self.cut_later()
        if reason is closing.LOST:
            self.transport.abort()
        else:
            try:
                self.last_words(reason, cursor)
            except OSError:  # gone, or closed by the client already
                self.transport.abort()

    def cut_later(self) -> None:
        """Whatever the client does, the socket is closed within ``closing_timeout_s``."""
        if self._cut is None:
            self._cut = self.admission.loop.call_later(
                self.admission.limits.closing_timeout_s, self.transport.abort
            )

    def last_words(self, reason: Reason, cursor: str | None) -> None:
        """Write why it ends, and close. Raises :class:`OSError` if nobody is there."""
        raise NotImplementedError

    def account(self) -> dict[str, Any]:
        """What the log says of it; nothing once it has left."""
        return {} if self.connection is None else account(self.connection)

    def leave(self, reason: Reason) -> None:
        """Leave the hub. Idempotent."""
        self.settle()
        connection, self.connection = self.connection, None
        if connection is not None:
            self.admission.connections.leave(connection, reason)
            self.admission.farewell(connection, self.name)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        super().connection_lost(exc)
        self.let_go()
        if self._cut is not None:
            self._cut.cancel()
