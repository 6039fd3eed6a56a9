"""How often an address may ask, at what cost, and how many streams may begin: before any body.

Must not know what is asked, nor how a stream is told.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Protocol

from aiohttp import web

from tickfan.core import closing
from tickfan.core.errors import Refusal
from tickfan.transports.admission import ASK_NEXT
from tickfan.transports.budget import ADDRESS_COST
from tickfan.transports.errors import error_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import Any

    from aiohttp.typedefs import Handler, Middleware

    from tickfan.transports.admission import Admission

    Teller = Callable[[web.Request], Awaitable[web.StreamResponse]]

RATE_LIMITED = (
    "this address asks more often than http.requests_per_address_per_s_max; wait, or keep a "
    "stream instead of asking again and again"
)

COST_LIMITED = (
    "what this address asks for takes more than http.cost_ms_per_address_per_s_max; wait, ask for "
    "fewer channels at once, or keep a stream instead of asking again and again"
)


class Payer(Protocol):
    """Who pays for the loop's time that an answer takes."""

    def __call__(self, cost_s: float) -> None:
        """Pay for so many seconds."""


PAYER: web.RequestKey[Payer] = web.RequestKey("payer", Payer)


def paced(admission: Admission, away: Mapping[Any, Teller]) -> Middleware:
    """Turn away who asks too often, before the body is read.

    ``away`` holds the handlers of streams, each with what tells a client of it that it
    is throttled. Other requests get 429.
    """
    addresses = admission.addresses

    @web.middleware
    async def pace(request: web.Request, handler: Handler) -> web.StreamResponse:
        remote = admission.remote_of(request)
        tell = away.get(request.match_info.handler)
        wait_s, owed_s = addresses.ask(remote), addresses.owes(remote)
        if owed_s:
            admission.tally.throttled[ADDRESS_COST] += 1
        if tell is None:
            if wait_s or owed_s:
                return _later(admission, remote, wait_s, owed_s)
            request[PAYER] = partial(addresses.charge, remote)
            return await handler(request)
        if wait_s or owed_s or addresses.has_streams(remote):
            return await tell(request)
        if addresses.begin_stream():
            # Another replica may have begun fewer.
            if ASK_NEXT in request.headers:
                return admission.elsewhere(closing.THROTTLED)
            return await tell(request)
        return await handler(request)

    return pace


def _later(admission: Admission, remote: str, wait_s: float, owed_s: float) -> web.Response:
    shares = admission.addresses.shares
    limit = (
        {"requests_per_address_per_s_max": shares.requests_per_address_per_s_max}
        if wait_s
        else {"cost_ms_per_address_per_s_max": shares.cost_ms_per_address_per_s_max}
    )
    admission.refused.tell("request refused", reason="rate_limited", remote=remote, **limit)
    message = RATE_LIMITED if wait_s else COST_LIMITED
    response = error_response([Refusal("rate_limited", message)])
    response.headers["Retry-After"] = str(math.ceil(max(wait_s, owed_s)))
    return response
