"""One HTTP response that goes on: what SSE and NDJSON share.

Must not know either of them: it is given a response and a format.
"""

from __future__ import annotations

import asyncio
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

import structlog
from aiohttp import HttpVersion11, web

from tickfan.core import closing
from tickfan.core.pattern import Pattern
from tickfan.session.subscribe import Answer
from tickfan.transports.credentials import IDENTITY
from tickfan.transports.errors import error_response
from tickfan.transports.guest import Guest
from tickfan.transports.requests import check_count, read_request
from tickfan.transports.server import handler_of
from tickfan.transports.tickets import set_cookie
from tickfan.wire import events

if TYPE_CHECKING:
    from tickfan.access.identity import Identity
    from tickfan.core.closing import Reason
    from tickfan.core.feeds import Feeds
    from tickfan.fanout.finding import Prepared
    from tickfan.session.grants import Plan
    from tickfan.transports.admission import Admission
    from tickfan.transports.server import Handler
    from tickfan.wire.base import Format

log = structlog.get_logger("tickfan.stream")

LAST_CHUNK = b"0\r\n\r\n"
"""The end of a chunked body (RFC 9112, section 7.1)."""

BEHIND_BYTES_MAX = 2**20
"""What a client may send behind its request, where nothing is expected. It is read and
dropped, or nobody would notice that the client has gone; one that uploads for ever is ended."""

HEADERS = {
    # Never kept, never changed on the way: a proxy that gzips a stream holds
    # it back (RFC 9111, section 5.2.2).
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}


async def plan_of(admission: Admission, web_request: web.Request) -> Plan:
    """What the request asks for, and what of it can be granted.

    Raises :class:`~tickfan.core.errors.Refusal` for a request that is refused as a whole.
    """
    channels_max = admission.rules.channels_per_connection_max
    request = await read_request(
        web_request, snapshot=admission.limits.snapshot, channels_max=channels_max
    )
    request.places()
    check_count(request, channels_max)
    remote = admission.remote_of(web_request)
    with admission.charged(partial(admission.addresses.charge, remote)):
        subscriptions = admission.subscriptions
        return subscriptions.fit(subscriptions.plan(request, web_request[IDENTITY]))


def instead(
    admission: Admission, web_request: web.Request, plan: Plan, transport_name: str
) -> web.Response | None:
    """What is answered instead of a stream; None: the stream may start.

    An error if something is refused. EventSource never comes back after a status
    other than 200, so this is for requests that would fail again; what passes is
    told by ``closing``, or by a 503 to a proxy that can ask another replica. And 204 if
    the stream has been read to its end: it tells EventSource not to come back (WHATWG
    HTML, 9.2.3).
    """
    if plan.refusals:
        remote = admission.remote_of(web_request)
        admission.audit.refused(web_request[IDENTITY], remote, transport_name, plan.refusals)
        return error_response(plan.refusals)
    if plan.request.until is not None and _is_finished(admission.feeds, plan):
        return web.Response(status=HTTPStatus.NO_CONTENT, headers=HEADERS)
    return admission.ask_next(web_request, lossless=plan.is_lossless)


def _is_finished(feeds: Feeds, plan: Plan) -> bool:
    """Whether the stream, asked ``until`` some type, has been read to its end."""
    until, places = plan.request.until, plan.request.places()
    if until is None or places is None:
        return False
    wishes = [wish for wish in plan.request.patterns if isinstance(wish, Pattern)]
    for name, place in places.items():
        feed = feeds.get(name)
        if feed is None or not feed.is_lossless or not feed.history.holds(place):
            continue
        update = feed.history.at(place.seq)
        if update is None or update.type != until:
            continue
        # A cursor moves on with its feed: this may be the end of a channel
        # that the client does not read.
        if any(wish.matches(update.channel.name) for wish in wishes):
            return True
    return False


async def run(  # noqa: PLR0913 - one call, by both wires
    admission: Admission,
    web_request: web.Request,
    response: web.StreamResponse,
    plan: Plan,
    format_: Format,
    transport_name: str,
) -> None:
    """Begin the stream, which then goes on without aiohttp: by a cancel.

    Returns if it cannot begin, or if only the headers were asked for. A stream that cannot
    begin ends with its connection, too. ``Connection: close`` does not say so, because undici
    (Node's fetch) then takes a cut for the end of the body, although the last chunk is missing.
    """
    # It keeps undici from sending the next request on a connection that is just being closed.
    response.headers["Keep-Alive"] = "timeout=1"
    set_cookie(web_request, response, admission.gate)
    await response.prepare(web_request)
    if web_request.method == "HEAD":  # the headers are all of it (RFC 9110, 9.3.2)
        return
    response.force_close()
    transport, handler = web_request.transport, handler_of(web_request)
    if transport is None:  # gone while the headers were written
        return
    reason: Reason | None = closing.INTERNAL
    is_chunked = web_request.version >= HttpVersion11
    stream = Stream(admission, transport_name, format_, is_chunked=is_chunked)
    remote, identity = admission.remote_of(web_request), web_request[IDENTITY]
    with stream.until_taken():
        try:
            await admission.drained(transport)
            if admission.tune(transport):
                reason = stream.come_from(remote) or await stream.come_in(
                    handler, transport, plan, identity, remote
                )
                if reason is not None and not transport.is_closing():
                    # 200, retry:, status and closing: an EventSource comes back.
                    status, retry_ms = events.status_of_all(plan.feeds), admission.retry_ms(reason)
                    transport.write(format_.opening("status", status, retry_ms))
                    admission.turned_away(format_, reason, transport_name, remote)
        except Exception:
            log.exception("a stream failed", transport=transport_name)
            reason = closing.INTERNAL
    if reason is None:
        raise asyncio.CancelledError
    if not transport.is_closing():
        transport.write(admission.closing_event(format_, reason, None))
    await admission.drained(transport)


def sent_away(
    admission: Admission,
    web_request: web.Request,
    format_: Format,
    content_type: str,
    transport_name: str,
) -> web.Response:
    """The whole answer to a client that is throttled, of whose request no more was read.

    200, ``retry:`` and ``closing``: an EventSource never comes back after a 429. ``format_`` has
    no chunks.
    """
    reason, retry_ms = closing.THROTTLED, admission.retry_ms(closing.THROTTLED)
    admission.turned_away(format_, reason, transport_name, admission.remote_of(web_request))
    response = web.Response(
        body=format_.opening("closing", events.closing(reason, retry_ms), retry_ms),
        content_type=content_type,
        headers=HEADERS,
    )
    response.force_close()
    return response


class Stream(Guest):
    """One stream's connection once it has begun: the hub writes, the end comes here."""

    __slots__ = ("_behind", "_format", "_last")

    def __init__(
        self, admission: Admission, name: str, format_: Format, *, is_chunked: bool
    ) -> None:
        super().__init__(admission, name)
        self._format = format_
        self._last = LAST_CHUNK if is_chunked else b""
        self._behind = 0

    async def come_in(
        self,
        handler: Handler,
        transport: asyncio.Transport,
        plan: Plan,
        identity: Identity,
        remote: str,
    ) -> Reason | None:
        """Begin when all that it needs is here; or why not. Meanwhile it counts as a connection."""
        admission = self.admission
        if refused := admission.refuses(identity, lossless=plan.is_lossless):
            return refused
        with admission.counted():
            if refused := await admission.wait_for(plan.places()):
                return refused
            with admission.charged(self.charge):
                prepared = admission.subscriptions.prepare(plan, self._format)
            await admission.ready(prepared, transport, self.charge)
        if transport.is_closing():  # and not all was found
            return closing.LOST
        # A job of the slices, or a hundred that come at once hold the loop.
        begin = partial(self.begin, handler, plan, prepared, identity, remote)
        return await admission.slices.run(begin)

    def begin(
        self, handler: Handler, plan: Plan, prepared: Prepared, identity: Identity, remote: str
    ) -> Reason | None:
        """Take the connection and let the hub write; or why not: things change while one waits."""
        admission, format_ = self.admission, self._format
        refused = admission.refuses(identity, lossless=plan.is_lossless) or self.take(handler)
        if refused:
            return refused
        try:
            self.connection = admission.connections.connect(
                format_,
                self.transport,
                self.on_end,
                identity,
                until=plan.request.until,
                remote=remote,
            )
            answer = Answer(retry_ms=admission.retry_ms(), connection=self.connection.id)
            with admission.charged(self.charge):
                admission.subscriptions.subscribe(self.connection, plan, prepared, answer)
        except Exception:
            log.exception("a stream failed", transport=self.name, **self.account())
            self.goodbye(closing.INTERNAL)
        return None

    def data_received(self, data: bytes) -> None:
        """Drop what comes behind the request."""
        self._behind += len(data)
        if self._behind > BEHIND_BYTES_MAX:
            self.goodbye(closing.BAD_REQUEST)

    def last_words(self, reason: Reason, cursor: str | None) -> None:
        """The ``closing`` event and the end of the body."""
        event = self.admission.closing_event(self._format, reason, cursor)
        self.transport.write(event + self._last)
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or all has been said."""
        super().connection_lost(exc)
        self.leave(closing.LEFT)
