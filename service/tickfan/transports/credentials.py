"""What a request brings to say who sends it, and which of it counts.

A token travels in the header ``Authorization`` (RFC 6750, section 2.1). A browser cannot set
headers of a WebSocket: it offers the subprotocol ``bearer.<token>`` beside ours, which is
never echoed. It cannot set headers of an EventSource either: it adds a ticket to the URL,
and from then on sends a cookie. A token in a URL is not read (RFC 9700, section 4.3.2). Must
not know what a token says.
"""

from __future__ import annotations

from typing import NamedTuple

from aiohttp import hdrs, web

from tickfan.access.identity import Identity
from tickfan.core.errors import Refusal

IDENTITY = web.RequestKey("identity", Identity)
"""Who sends a request, as the middleware found."""

BEARER_PROTOCOL = "bearer."
"""How a subprotocol begins that is a token."""

TICKET = "ticket"
"""The parameter that is a ticket."""

COOKIE = "tickfan"
"""The name of the cookie."""

API = "/v1/"
"""How the addresses begin that look at cookies. The page comes without any."""

STREAMS = (f"{API}sse", f"{API}ndjson")
WEBSOCKET = f"{API}ws"
TICKETS = f"{API}tickets"


class Credentials(NamedTuple):
    """What a request brings, and None for what it does not.

    The first that counts decides, in this order: ``header``, ``subprotocol``, ``ticket``,
    ``cookie``. Whoever sends a token means it. The browser repeats a ticket that has been used
    when it comes back by itself, and sends the cookie with it: so a cookie also counts beside
    a ticket that does not.
    """

    header: str | None = None
    subprotocol: str | None = None
    ticket: str | None = None
    cookie: str | None = None


def brought(request: web.Request, *, takes_cookies: bool) -> Credentials:
    """What a request brings, as far as its address looks at it.

    Raises :class:`Refusal`: ``bad_request``, ``bad_subprotocol`` for several tokens.
    """
    header, path = bearer(request), request.path.rstrip("/")
    _, subprotocol = offered(request) if path == WEBSOCKET else ([], None)
    if header is not None and subprotocol is not None:
        raise Refusal("bad_request", "send the token once: as a header, or as a subprotocol")
    if header is not None or subprotocol is not None:
        return Credentials(header, subprotocol)
    ticket = request.query.get(TICKET) if path in (*STREAMS, WEBSOCKET) else None
    # Whoever drops a cookie may have one that does not count.
    takes_cookies = takes_cookies and path.startswith(API) and request.method != hdrs.METH_DELETE
    cookie = request.cookies.get(COOKIE) if takes_cookies else None
    return Credentials(ticket=ticket, cookie=cookie)


def bearer(request: web.Request) -> str | None:
    """The token of the header ``Authorization``; None if there is none.

    Another scheme is somebody else's: a proxy's password, for example. Raises
    :class:`Refusal` (``bad_request``) for several headers.
    """
    given = request.headers.getall(hdrs.AUTHORIZATION, ())
    if len(given) > 1:
        raise Refusal("bad_request", "the header Authorization came more than once")
    scheme, _, token = given[0].partition(" ") if given else ("", "", "")
    return token.strip() if scheme.lower() == "bearer" else None


def offered(request: web.Request) -> tuple[list[str], str | None]:
    """The subprotocols that a WebSocket's client offers, and the token among them.

    Raises :class:`Refusal` (``bad_subprotocol``) for several tokens.
    """
    line = request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "")
    names = [name.strip() for name in line.split(",") if name.strip()]  # RFC 9110, 5.6.1
    tokens = [name for name in names if name.startswith(BEARER_PROTOCOL)]
    if len(tokens) > 1:
        raise Refusal("bad_subprotocol", "several tokens are offered as subprotocols")
    token = tokens[0].removeprefix(BEARER_PROTOCOL) if tokens else None
    return [name for name in names if name not in tokens], token
