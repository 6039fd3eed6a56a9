"""``POST /v1/tickets``: a ticket for what cannot send a token; ``DELETE`` drops the cookie.

Must not know what is inside a ticket.
"""

from __future__ import annotations

from aiohttp import web

from tickfan.api.context import json_response
from tickfan.core.errors import Refusal
from tickfan.transports.admission import ADMISSION
from tickfan.transports.credentials import IDENTITY
from tickfan.transports.origins import check_origin, page_of
from tickfan.transports.parameters import check_query
from tickfan.transports.tickets import drop_cookie

ORIGIN_CHARS_MAX = 300
"""A scheme, a host of 253 characters, and a port."""


async def make(request: web.Request) -> web.Response:
    """A ticket of whoever asks, for the page that asks."""
    check_query(request)
    check_origin(request)
    page = page_of(request)
    if len(page) > ORIGIN_CHARS_MAX or not page.isascii():
        raise Refusal("bad_request", "the header Origin is none", "Origin")
    ticket, life_s = request.app[ADMISSION].gate.make_ticket(request[IDENTITY], page)
    return json_response({"ticket": ticket, "expires_in_s": int(life_s)})


async def drop(request: web.Request) -> web.Response:
    """Let the browser forget its cookie. Streams that are open go on."""
    check_query(request)
    check_origin(request)
    response = web.Response(status=204, headers={"Cache-Control": "no-store"})
    drop_cookie(request, response)
    return response
