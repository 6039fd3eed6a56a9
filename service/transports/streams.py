"""One HTTP response that goes on: what SSE and NDJSON share.

Must not know either of them: it is given a prepared response and a format.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from service.core import closing
from service.core import cursor as cursors
from service.subscriptions import plan
from service.transports.errors import error_response

if TYPE_CHECKING:
    from aiohttp import web

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
    refusals = plan(request, doors.hub.feeds.values(), doors.rules).refusals
    return error_response(refusals) if refusals else None


def is_finished(doors: Doors, request: Request) -> bool:
    """Whether a stream asked ``until`` some type has been read to its end."""
    if request.until is None or request.cursor is None:
        return False
    for name, place in cursors.parse(request.cursor).items():
        feed = doors.hub.feeds.get(name)
        if feed is not None and feed.is_lossless and feed.history.holds(place):
            update = feed.history.at(place.seq)
            if update is not None and update.type == request.until:
                return True
    return False


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
    if not doors.tune(transport):
        await _close(doors, transport, format_, closing.INTERNAL, None)
        return
    is_lossless = any(
        grant.interval_ms is None
        for grant in plan(request, doors.hub.feeds.values(), doors.rules).grants
    )
    refused = doors.refuses(lossless=is_lossless)
    if refused is not None:
        await _turn_away(doors, transport, format_, refused)
        return
    ended: asyncio.Future[Reason] = doors.hub.loop.create_future()
    connection = doors.connections.connect(
        format_, transport, partial(_set, ended), until=request.until,
        remote=web_request.remote or "",
    )  # fmt: skip
    reason = closing.LEFT
    try:
        doors.connections.subscribe(
            connection,
            request,
            lambda fields: format_.opening("subscribed", fields, doors.retry_ms()),
            lambda cursor: format_.event("snapshot_end", {}, cursor),
        )
        reason = await ended
    except asyncio.CancelledError:  # the client has gone
        raise
    except Exception:
        log.exception("a stream failed", transport=transport_name)
        reason = closing.INTERNAL
    finally:
        # A finished stream ends at its last update, not at its feed's tail.
        cursor = None if reason is closing.DONE else connection.cursor
        doors.connections.leave(connection, reason)
        doors.farewell(connection, transport_name)
    await _close(doors, transport, format_, reason, cursor)


def _set(ended: asyncio.Future[Reason], reason: Reason) -> None:
    if not ended.done():
        ended.set_result(reason)


async def _turn_away(
    doors: Doors, transport: asyncio.Transport, format_: Format, reason: Reason
) -> None:
    """200, ``retry:``, ``status`` and ``closing``: an EventSource comes back."""
    status: dict[str, Any] = {feed.name: feed.upstream.value for feed in doors.hub.feeds.values()}
    transport.write(format_.opening("status", {"upstream": status}, doors.retry_ms()))
    doors.hub.tally.closes[format_.name, reason.name] += 1
    await _close(doors, transport, format_, reason, None)


async def _close(
    doors: Doors,
    transport: asyncio.Transport,
    format_: Format,
    reason: Reason,
    cursor: str | None,
) -> None:
    if not transport.is_closing() and reason is not closing.LOST:
        transport.write(doors.closing_event(format_, reason, cursor))
    await doors.drained(transport)
