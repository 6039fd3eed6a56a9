"""What every transport shares: who may come in, and how one goes out.

Must not know SSE, NDJSON or WebSocket.
"""

from __future__ import annotations

import asyncio
import random
import socket
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog
from aiohttp import web

from tickfan.core import closing
from tickfan.core import cursor as cursors
from tickfan.core.feed import Upstream
from tickfan.transports.server import Taker

if TYPE_CHECKING:
    from tickfan.core.closing import Reason
    from tickfan.core.cursor import Place
    from tickfan.fanout.hub import Hub
    from tickfan.session.connections import Connections
    from tickfan.session.grants import Rules
    from tickfan.session.membership import Connection
    from tickfan.transports.server import Handler
    from tickfan.wire.base import Format
    from tickfan.wire.formats import Formats

log = structlog.get_logger("tickfan.connection")

POLL_S = 0.02

BEHIND_S = 4.5
"""How long a replica may lag behind a cursor: a half-open link to the broker is
found within ``probe_interval_s`` + ``probe_timeout_s`` (4 s by default), and a
cursor of a stream that is no more is answered within 5 s."""


class Limits(NamedTuple):
    """The operator's limits for connections. Names end with their unit."""

    connections_max: int = 20_000
    message_bytes_max: int = 16_384
    notsent_lowat_bytes: int = 16_384
    retry_ms: int = 2_000
    closing_timeout_s: float = 2.0
    snapshot: bool = True


class Doors:
    """The way in and out, for all transports of one process."""

    def __init__(
        self, hub: Hub, connections: Connections, formats: Formats, rules: Rules, limits: Limits
    ) -> None:
        self.hub = hub
        self.connections = connections
        self.formats = formats
        self.rules = rules
        self.limits = limits
        self.is_draining = False
        # Streams that wait for this replica to catch up: not connections yet,
        # and bounded as if they were.
        self._waiting = 0

    def refuses(self, *, lossless: bool, is_in: bool = False) -> Reason | None:
        """Why nobody can come in now: draining, overload, or still starting.

        Who ``is_in`` already, and wants more, is not over ``connections_max``.
        Only a lossless subscription has to wait for the start: it would not
        know its tail. A conflated one is told by ``status`` when its source
        is there.
        """
        if self.is_draining:
            return closing.DRAIN
        count = len(self.connections) + self._waiting
        if not is_in and count >= self.limits.connections_max:
            return closing.OVERLOAD
        if lossless and self.hub.is_starting:
            return closing.STARTING
        return None

    async def wait_for(self, cursor: str | None, *, is_in: bool = False) -> Reason | None:
        """Wait until this replica has read as far as the cursor; why not to go on.

        A client that comes from another replica may be ahead of this one. Its
        cursor is only judged when the feed is live and has had the time in
        which a dead link would have shown: then, what is not there is lost.
        Raises :class:`~tickfan.core.errors.Refusal` for a cursor that is none.
        """
        if cursor is None:
            return None
        places = cursors.parse(cursor)
        self._waiting += not is_in
        try:
            return await self._caught_up(places)
        finally:
            self._waiting -= not is_in

    async def _caught_up(self, places: dict[str, Place]) -> Reason | None:
        deadline = self.hub.loop.time() + BEHIND_S
        while behind := self.hub.behind(places):
            if self.is_draining:
                return closing.DRAIN
            if any(feed.upstream is not Upstream.LIVE for feed in behind):
                return closing.STARTING
            if self.hub.loop.time() > deadline:
                return None
            await asyncio.sleep(POLL_S)
        return None

    def retry_ms(self) -> int:
        """A reconnect delay with jitter, so that a cut does not bring a storm."""
        return int(self.limits.retry_ms * random.uniform(0.5, 1.5))

    def tune(self, transport: asyncio.Transport) -> bool:
        """Bound what the kernel holds back for a client that does not read.

        Without it megabytes of old prices wait where nothing can replace them
        (``tcp(7)``, TCP_NOTSENT_LOWAT). Returns False if the connection is
        gone, or has no such bound: then it must not be served.
        """
        sock = transport.get_extra_info("socket")
        if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
            return not transport.is_closing()
        size = self.limits.notsent_lowat_bytes
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, size)
            taken = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
        except OSError as error:
            if not transport.is_closing():
                log.info("gone before it was served", detail=str(error))
            return False
        if taken != size:
            log.error("the kernel did not take TCP_NOTSENT_LOWAT", asked=size, has=taken)
        return bool(taken == size)

    def closing_event(self, format_: Format, reason: Reason, cursor: str | None) -> bytes:
        """The ``closing`` event: why, and when to come back."""
        return format_.event("closing", self.closing_fields(reason), cursor)

    def closing_fields(self, reason: Reason) -> dict[str, Any]:
        """The fields of ``closing``. ``retry_ms`` None: do not come back."""
        return {
            "reason": reason.name,
            "code": reason.code,
            "message": reason.message,
            "retry_ms": self.retry_ms() if reason.may_reconnect else None,
        }

    async def drained(self, transport: asyncio.Transport) -> None:
        """Wait until all is handed to the kernel; abort what takes too long.

        A stalled client never empties its buffer, and a transport that is
        closed with bytes left would live on for ever.
        """
        deadline = self.hub.loop.time() + self.limits.closing_timeout_s
        while not transport.is_closing() and transport.get_write_buffer_size():
            if self.hub.loop.time() > deadline:
                transport.abort()
                return
            await asyncio.sleep(POLL_S)

    def turned_away(self, format_: Format, reason: Reason, transport: str, remote: str) -> None:
        """Count and log a client that could not come in: one line."""
        self.hub.tally.closes[format_.name, reason.name] += 1
        log.info("turned away", transport=transport, reason=reason.name, remote=remote)

    def farewell(self, connection: Connection, transport: str) -> None:
        """Log the end of a connection: one line."""
        subscriber = connection.subscriber
        reason = subscriber.ended or closing.LOST
        log.info(
            "connection ended",
            transport=transport,
            reason=reason.name,
            duration_s=round(self.hub.loop.time() - subscriber.opened_at, 3),
            updates=subscriber.updates,
            folded=subscriber.marks.folded,
            channels=len(connection.grants),
            remote=subscriber.remote,
        )


class Guest(Taker):
    """A connection that the hub writes to, from its welcome to its last byte.

    It has no task and no timer of its own while it is quiet.
    """

    __slots__ = ("_cut", "connection", "doors", "name")

    def __init__(self, doors: Doors, name: str) -> None:
        """``name`` of the transport, for the log."""
        self.doors = doors
        self.name = name
        self.connection: Connection | None = None  # once the hub knows it, until it has left
        self._cut: asyncio.TimerHandle | None = None

    def take(self, handler: Handler) -> Reason | None:
        """Take the connection over; or why not, and it is still aiohttp's."""
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
        """The hub has ended it; an audience may be in the middle of a flush, so: later."""
        self.doors.hub.loop.call_soon(self._ended)

    def _ended(self) -> None:
        if self.connection is not None:
            self.goodbye(self.connection.subscriber.ended or closing.INTERNAL)

    def goodbye(self, reason: Reason) -> None:
        """Leave the hub and say why, with :meth:`last_words`; cut who does not read them."""
        connection = self.connection
        cursor = None
        # A finished stream ends at its last update, not at its feed's tail.
        if connection is not None and reason is not closing.DONE:
            cursor = connection.cursor
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
            self._cut = self.doors.hub.loop.call_later(
                self.doors.limits.closing_timeout_s, self.transport.abort
            )

    def last_words(self, reason: Reason, cursor: str | None) -> None:
        """Write why it ends, and close. Raises :class:`OSError` if nobody is there."""
        raise NotImplementedError

    def leave(self, reason: Reason) -> None:
        """Leave the hub. Idempotent."""
        connection, self.connection = self.connection, None
        if connection is not None:
            self.doors.connections.leave(connection, reason)
            self.doors.farewell(connection, self.name)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        super().connection_lost(exc)
        if self._cut is not None:
            self._cut.cancel()


DOORS = web.AppKey("doors", Doors)
