"""Finds the token of a request, and so who sends it.

A token travels in the header ``Authorization`` (RFC 6750, section 2.1). A browser cannot set
headers of a WebSocket: it offers the subprotocol ``bearer.<token>`` beside ours, which is
never echoed. A token in a URL is not read (RFC 9700, section 4.3.2). Must not know what a
token says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from tickfan.access.identity import Identity
from tickfan.core import closing
from tickfan.core.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Container

    from aiohttp.typedefs import Handler, Middleware

    from tickfan.access.gate import Gate

IDENTITY = web.RequestKey("identity", Identity)
"""Who sends a request, as the middleware found."""

BEARER_PROTOCOL = "bearer."
"""How a subprotocol begins that is a token."""


def identified(gate: Gate, *, streams: Container[Handler] = ()) -> Middleware:
    """Say of each request who sends it, before its body is read.

    While it is not known yet which tokens are revoked, a request with a token is refused
    (``starting``). The handlers of ``streams`` say so in their own way: EventSource never
    comes back after a 503.
    """

    @web.middleware
    async def identify(request: web.Request, handler: Handler) -> web.StreamResponse:
        token = bearer(request)
        identity = gate.anonymous if token is None else await gate.identify_soon(token)
        is_stream = request.match_info.handler in streams
        if not (is_stream and gate.stops(identity) is closing.STARTING):
            gate.admit(identity)
        request[IDENTITY] = identity
        return await handler(request)

    return identify


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
