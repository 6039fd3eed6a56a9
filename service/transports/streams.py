"""One HTTP response that goes on: what SSE and NDJSON share.

Must not know either of them: it is given a prepared response and a format.
"""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from service.core import closing
from service.core import cursor as cursors
from service.core.channel import Pattern
from service.subscriptions import plan
from service.transports.errors import error_response
from service.transports.requests import check_count

if TYPE_CHECKING:
    import asyncio

    from service.core.closing import Reason
    from service.subscriptions import Request
    from service.transports.doors import Doors
    from service.wire.base import Format

log = structlog.get_logger("tickfan.stream")

HEADERS = {
    # Never kept, never changed on the way: a proxy that gzips a stream holds
    # it back (RFC 9111, section 5.2.2).
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}


def refusal_before(doors: Doors, request: Request) -> web.Response | None:
    """The error to answer before the stream starts, if the request is refused.

    EventSource never comes back after a status other than 200, so this is for
    requests that would fail again; what passes is told by ``closing``.
    """
    if request.cursor is not None:
        cursors.parse(request.cursor)
    check_count(request, doors.rules.channels_per_connection_max)
    refusals = plan(request, doors.hub.feeds.values(), doors.rules).refusals
    return error_response(refusals) if refusals else None


def finished(doors: Doors, request: Request) -> web.Response | None:
    """204 if the stream, asked ``until`` some type, has been read to its end.

    It tells EventSource not to come back (WHATWG HTML, 9.2.3).
    """
    if request.until is None or request.cursor is None:
        return None
    patterns = [Pattern(text) for text in request.channels]
    for name, place in cursors.parse(request.cursor).items():
        feed = doors.hub.feeds.get(name)
        if feed is None or not feed.is_lossless or not feed.history.holds(place):
            continue
        update = feed.history.at(place.seq)
        if update is None or update.type != request.until:
            continue
        # A cursor moves on with its feed: this may be the end of a channel
        # that the client does not read.
        if any(pattern.matches(update.channel.name) for pattern in patterns):
            return web.Response(status=HTTPStatus.NO_CONTENT, headers=HEADERS)
    return None


async def run(
    doors: Doors, web_request: web.Request, request: Request, format_: Format, transport_name: str
) -> None:
    """Serve the stream until either side ends it.

    The response must be prepared. On return the connection must be closed:
    a stream ends with its connection.
    """
    transport = web_request.transport
    if transport is None:  # gone while the headers were written
        return
    reason, cursor = closing.INTERNAL, None
    try:
        if doors.tune(transport):
            remote = web_request.remote or ""
            reason, cursor = await _serve(
                doors, transport, request, format_, transport_name, remote
            )
    except Exception:
        log.exception("a stream failed", transport=transport_name)
    if not transport.is_closing() and reason is not closing.LOST:
        transport.write(doors.closing_event(format_, reason, cursor))
    await doors.drained(transport)


async def _serve(  # noqa: PLR0913 - the second half of run
    doors: Doors,
    transport: asyncio.Transport,
    request: Request,
    format_: Format,
    transport_name: str,
    remote: str,
) -> tuple[Reason, str | None]:
    """Let the hub write until the end; returns why it came, and the cursor then."""
    is_lossless = any(
        grant.interval_ms is None
        for grant in plan(request, doors.hub.feeds.values(), doors.rules).grants
    )
    refused = (
        doors.refuses(lossless=is_lossless)
        or await doors.wait_for(request.cursor)
        or doors.refuses(lossless=is_lossless)  # things change while one waits
    )
    if refused is not None:
        # 200, retry:, status and closing: an EventSource comes back.
        upstream = {feed.name: feed.upstream.value for feed in doors.hub.feeds.values()}
        transport.write(format_.opening("status", {"upstream": upstream}, doors.retry_ms()))
        doors.turned_away(format_, refused, transport_name, remote)
        return refused, None
    ended: asyncio.Future[Reason] = doors.hub.loop.create_future()
    connection = doors.connections.connect(
        format_, transport, partial(_set, ended), until=request.until, remote=remote
    )
    reason = closing.LEFT  # a client that goes cancels this handler
    try:
        doors.connections.subscribe(
            connection,
            request,
            lambda fields: format_.opening("subscribed", fields, doors.retry_ms()),
            lambda cursor: format_.event("snapshot_end", {}, cursor),
        )
        reason = await ended
    except Exception:
        reason = closing.INTERNAL
        raise
    finally:
        # A finished stream ends at its last update, not at its feed's tail.
        cursor = None if reason is closing.DONE else connection.cursor
        doors.connections.leave(connection, reason)
        doors.farewell(connection, transport_name)
    return reason, cursor


def _set(ended: asyncio.Future[Reason], reason: Reason) -> None:
    if not ended.done():
        ended.set_result(reason)
