"""Who sends a request, by what it brings; and the cookie that a browser comes back with.

An EventSource repeats its URL when it comes back by itself, also a ticket that has been used
by then. So the first use of a ticket sets a cookie. A browser sends a cookie with the requests
of any page (RFC 6265, section 8.2): so whatever a cookie or a ticket opens passes the check of
the origin. Must not know streams, nor what is inside a ticket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from tickfan.access.sealed import UsedTicket
from tickfan.core import closing
from tickfan.core.closing import Reason
from tickfan.core.errors import Refusal
from tickfan.session.connections import EXPIRY_LEAD_S
from tickfan.transports.credentials import COOKIE, IDENTITY, WEBSOCKET, Credentials, brought
from tickfan.transports.origins import ORIGINS, check_origin, page_of

if TYPE_CHECKING:
    from collections.abc import Container

    from aiohttp.typedefs import Handler, Middleware

    from tickfan.access.gate import Gate
    from tickfan.access.identity import Identity

TURNED_AWAY = web.RequestKey("turned_away", Reason)
"""Why the client of a WebSocket has to go, which its handshake has shown."""

_BY_TICKET = web.RequestKey("by_ticket", bool)

_REASONS = {
    "bad_ticket": closing.BAD_TOKEN, "bad_token": closing.BAD_TOKEN,
    "expired": closing.EXPIRED, "overload": closing.OVERLOAD, "starting": closing.STARTING,
}  # fmt: skip

_READING = ("GET", "HEAD")

MODE = "Sec-Fetch-Mode"
"""The header in which a browser says how a page asks (Fetch Metadata)."""

_MODES = ("cors", "same-origin")
"""How the scripts of a page ask. A link or an image asks in another mode, so
nobody can give a reader a cookie by one."""


def identified(gate: Gate, *, streams: Container[Handler] = ()) -> Middleware:
    """Say of each request who sends it, before its body is read.

    A browser's script does not see the status of a handshake that is refused. So a WebSocket
    is told by its close code of what only browsers bring.

    While it is not known yet which tokens are revoked, a request with a token is refused
    (``starting``). The handlers of ``streams`` say so in their own way: EventSource never
    comes back after a 503.
    """

    @web.middleware
    async def identify(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = brought(request, takes_cookies=gate.takes_cookies)
        # Its code tells a WebSocket of what only browsers bring.
        has_code = given.header is None and request.path.rstrip("/") == WEBSOCKET
        try:
            request[IDENTITY] = identity = await _identity(request, gate, given)
            reason = gate.stops(identity)
            is_stream = request.match_info.handler in streams
            if reason is not None and not (is_stream and reason is closing.STARTING):
                if not has_code:
                    gate.admit(identity)
                request[TURNED_AWAY] = reason
        except Refusal as refusal:
            found = closing.EXPIRED if isinstance(refusal, UsedTicket) else None
            found = found or _REASONS.get(refusal.code)
            if found is None or not has_code:
                raise
            request[IDENTITY], request[TURNED_AWAY] = gate.anonymous, found
        return await handler(request)

    return identify


async def _identity(request: web.Request, gate: Gate, given: Credentials) -> Identity:
    token = given.subprotocol if given.header is None else given.header
    if token is not None:
        return await gate.identify_soon(token)
    if given.ticket is not None:
        try:
            return _by_ticket(request, gate, given.ticket)
        except Refusal:
            if given.cookie is None:
                raise
    if given.cookie is None:
        return gate.anonymous
    _check_page(request)
    return gate.open_cookie(given.cookie)


def _check_page(request: web.Request) -> None:
    """Raise :class:`Refusal` (``origin_forbidden``) for a page that may not use a cookie.

    A page can make a browser send one without an Origin: by an image or a script. Neither
    can be read here.
    """
    check_origin(request)
    is_reading = request.method in _READING and request.headers.get(MODE) != "no-cors"
    if not is_reading and not page_of(request):
        sentence = "with a cookie this must say of which page it is (Origin), as a script's does"
        raise Refusal("origin_forbidden", sentence, "Origin")


def _by_ticket(request: web.Request, gate: Gate, text: str) -> Identity:
    ticket = gate.open_ticket(text)
    check_origin(request)
    if ticket.origin and not request.app[ORIGINS].is_from(request, ticket.origin):
        raise Refusal("bad_ticket", "the ticket was made for a page of another origin")
    identity = gate.spend(ticket)
    request[_BY_TICKET] = True
    return identity


def set_cookie(request: web.Request, response: web.StreamResponse, gate: Gate) -> None:
    """Give the browser that came with a ticket a cookie to come back with."""
    mode = request.headers.get(MODE, _MODES[0])
    if _BY_TICKET in request and mode in _MODES:
        cookie, left_s = gate.make_cookie(request[IDENTITY], EXPIRY_LEAD_S)
        _write(request, response, cookie, int(left_s))


def drop_cookie(request: web.Request, response: web.StreamResponse) -> None:
    """Let the browser forget its cookie."""
    _write(request, response, "", 0)


def _write(request: web.Request, response: web.StreamResponse, value: str, max_age_s: int) -> None:
    """Set the cookie.

    Its path is ``/``: a proxy may serve this under any prefix, of which nobody here knows. To a
    page of another site a browser gives it with ``SameSite=None`` only, which needs HTTPS; and
    some (Chromium) only if it is kept for pages of that site alone (``Partitioned``, CHIPS).
    """
    origins = request.app[ORIGINS]
    is_secure = origins.is_secure(request)
    is_elsewhere = is_secure and bool(page_of(request)) and origins.is_elsewhere(request)
    words = [f"{COOKIE}={value}", f"Max-Age={max_age_s}", "Path=/", "HttpOnly"]
    words += ["Secure"] if is_secure else []
    words += ["SameSite=None", "Partitioned"] if is_elsewhere else ["SameSite=Lax"]
    # Written here, as Python knows Partitioned from 3.14 on.
    response.headers[hdrs.SET_COOKIE] = "; ".join(words)
    response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
