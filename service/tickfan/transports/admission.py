"""Whether a client may come in, and what a client is told that may not, or must go.

Must not know SSE, NDJSON or WebSocket.
"""

from __future__ import annotations

import asyncio
import math
import socket
from contextlib import contextmanager
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog
from aiohttp import web

from tickfan.core import closing
from tickfan.core.errors import Refusal
from tickfan.session.account import account
from tickfan.transports.catchup import BEHIND_S, caught_up
from tickfan.transports.credentials import IDENTITY
from tickfan.transports.errors import error_response
from tickfan.wire import events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tickfan.access.gate import Gate
    from tickfan.access.identity import Identity
    from tickfan.clock import Clock
    from tickfan.core.closing import Reason
    from tickfan.core.cursor import Place
    from tickfan.core.errors import Bound
    from tickfan.core.feeds import Feeds
    from tickfan.core.tally import Tally
    from tickfan.fanout.background import Background
    from tickfan.fanout.finding import Prepared
    from tickfan.fanout.slices import Slices
    from tickfan.session.audit import Audit
    from tickfan.session.connections import Connections
    from tickfan.session.draining import Draining
    from tickfan.session.grants import Rules
    from tickfan.session.membership import Connection
    from tickfan.session.subscribe import Subscriptions
    from tickfan.transports.budget import Allowance
    from tickfan.transports.door import Limiter
    from tickfan.wire.base import Format
    from tickfan.wire.formats import Formats

log = structlog.get_logger("tickfan.connection")

POLL_S = 0.02

THROTTLED_FACTOR = 5
"""How much longer than ``retry_ms`` who is throttled is asked to stay away."""

RETRY_SPREAD = 0.5
"""By what share of ``retry_ms`` a client is asked to come back earlier or later."""

ASK_NEXT = "Tickfan-Ask-Next"
"""The header of a proxy that can ask another replica, and needs a status to do so.

A stream is else answered 200 before it is refused, which no proxy understands."""


class Limits(NamedTuple):
    """The operator's limits for connections. Names end with their unit."""

    connections_max: int
    message_bytes_max: int
    notsent_lowat_bytes: int
    retry_ms: int
    closing_timeout_s: float
    snapshot: bool
    auth_timeout_s: float
    allowance: Allowance


class Admission:
    """The way in and out, for all transports of one process."""

    def __init__(  # noqa: PLR0913 - made in one place
        self,
        loop: asyncio.AbstractEventLoop,
        feeds: Feeds,
        slices: Slices,
        background: Background,
        tally: Tally,
        clock: Clock,
        *,
        connections: Connections,
        subscriptions: Subscriptions,
        formats: Formats,
        rules: Rules,
        limits: Limits,
        gate: Gate,
        draining: Draining,
        limiter: Limiter,
        remote_of: Callable[[web.Request], str],
        audit: Audit,
    ) -> None:
        """``remote_of`` says from what address a client comes."""
        self.loop = loop
        self.feeds = feeds
        self.slices = slices
        self.tally = tally
        self.clock = clock
        self._background = background
        self.connections = connections
        self.subscriptions = subscriptions
        self.formats = formats
        self.rules = rules
        self.limits = limits
        self.gate = gate
        self.draining = draining
        self.remote_of = remote_of
        self.audit = audit
        self.addresses = limiter.addresses
        self.refused = limiter.refused
        # Bound once: a client that leaves costs a line, and to bind is half of it.
        self._log = log.bind()
        self.behind_s = BEHIND_S
        # Streams that are counted as connections, and are none yet.
        self._waiting = 0

    def refuses(self, identity: Identity, *, lossless: bool, is_in: bool = False) -> Reason | None:
        """Why nobody can come in now: draining, overload, still starting, or a revoked token.

        A client that ``is_in`` already, and wants more, is not over ``connections_max``.
        Only a lossless subscription has to wait for the start: it would not know its
        tail. A conflated one is told by ``status`` when its source is there.
        """
        if self.draining.is_on:
            return closing.DRAIN
        if (stopped := self.gate.stops(identity)) is not None:
            return stopped
        count = len(self.connections) + self._waiting
        if not is_in and count >= self.limits.connections_max:
            return closing.OVERLOAD
        if not is_in and self.connections.is_full_for(identity):
            return closing.THROTTLED
        if lossless and self.feeds.is_starting:
            return closing.STARTING
        return None

    def ask_next(self, request: web.Request, *, lossless: bool) -> web.Response | None:
        """The 503 for a proxy that can ask another replica; None: the stream may start."""
        if ASK_NEXT not in request.headers:
            return None
        reason = self.refuses(request[IDENTITY], lossless=lossless)
        if reason is None or reason is closing.THROTTLED or not reason.may_reconnect:
            return None  # no other replica is to be asked
        return self.elsewhere(reason)

    def elsewhere(self, reason: Reason) -> web.Response:
        """The 503 for a proxy that can ask another replica."""
        response = error_response([Refusal(reason.name, reason.message)])
        response.headers["Retry-After"] = str(math.ceil(self.retry_ms(reason) / 1000))
        return response

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count as a connection what is none yet: a stream that waits, or searches."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    async def wait_for(self, places: Mapping[str, Place] | None) -> Reason | None:
        """Wait until this replica has read as far as a cursor; why not to go on."""
        if places is None:
            return None
        return await caught_up(
            self.loop, self.feeds, places, lambda: self.draining.is_on, self.behind_s
        )

    async def ready(
        self, prepared: Prepared, transport: asyncio.Transport, charge: Callable[[float], None]
    ) -> None:
        """Let a large command find what it needs, with pauses, while its client is there.

        ``charge`` is told the seconds of each piece.
        """
        if prepared.is_large:
            steps = takewhile(lambda _: not transport.is_closing(), prepared.steps())
            await self._background.run(steps, charge)

    @contextmanager
    def charged(self, charge: Callable[[float], None]) -> Iterator[None]:
        """Tell ``charge`` the seconds that what is inside has taken. It must not wait inside."""
        began = self.clock.stopwatch()
        try:
            yield
        finally:
            charge(self.clock.stopwatch() - began)

    def retry_ms(self, reason: Reason | None = None) -> int:
        """A reconnect delay with jitter, so that a cut does not bring a storm."""
        factor = THROTTLED_FACTOR if reason is closing.THROTTLED else 1
        return int(self.clock.spread(self.limits.retry_ms * factor, RETRY_SPREAD))

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
        return format_.event("closing", events.closing(reason, self.retry_ms(reason)), cursor)

    async def drained(self, transport: asyncio.Transport) -> None:
        """Wait until all is handed to the kernel; abort what takes too long.

        A stalled client never empties its buffer. A transport that is closed with bytes
        left would live on for ever.
        """
        deadline = self.clock.time() + self.limits.closing_timeout_s
        while not transport.is_closing() and transport.get_write_buffer_size():
            if self.clock.time() > deadline:
                transport.abort()
                return
            await asyncio.sleep(POLL_S)

    def turned_away(self, format_: Format, reason: Reason, transport: str, remote: str) -> None:
        """Count and log a client that could not come in: one line, if there are not too many."""
        self.tally.closes[format_.name, reason.name] += 1
        limit = {"connections_max": self.limits.connections_max}
        more = limit if reason is closing.OVERLOAD else {}
        self.refused.tell(
            "turned away", transport=transport, reason=reason.name, remote=remote, **more
        )

    def farewell(self, connection: Connection, transport: str) -> None:
        """Log the end of a connection: one line."""
        subscriber = connection.subscriber
        reason, bound = subscriber.ended or closing.LOST, subscriber.bound
        self._log.info(
            "connection ended",
            transport=transport,
            reason=reason.name,
            duration_s=round(self.clock.time() - subscriber.opened_at, 3),
            updates=subscriber.updates,
            conflated=subscriber.conflated,
            **account(connection),
            **({} if bound is None else _reached(bound)),
        )


def _reached(bound: Bound) -> dict[str, Any]:
    """Which bound ended a connection, and what waited then."""
    return {
        "bound": bound.name,
        "waiting_updates": bound.updates,
        "waiting_bytes": bound.size,
    }


ADMISSION = web.AppKey("admission", Admission)
