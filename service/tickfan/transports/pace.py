"""How often an address may ask, and how many streams may begin: looked at before any body.

Must not know what is asked, nor how a stream is told.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from aiohttp import web

from tickfan.core import closing
from tickfan.core.errors import Refusal
from tickfan.transports.admission import ASK_NEXT
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
        wait_s = addresses.ask(remote)
        if tell is None:
            return _later(admission, remote, wait_s) if wait_s else await handler(request)
        if wait_s or addresses.has_streams(remote):
            return await tell(request)
        if addresses.begin_stream():
            # Another replica may have begun fewer.
            if ASK_NEXT in request.headers:
                return admission.elsewhere(closing.THROTTLED)
            return await tell(request)
        return await handler(request)

    return pace


def _later(admission: Admission, remote: str, wait_s: float) -> web.Response:
    admission.refused.tell(
        "request refused",
        reason="rate_limited",
        remote=remote,
        requests_per_address_per_s_max=admission.addresses.shares.requests_per_address_per_s_max,
    )
    response = error_response([Refusal("rate_limited", RATE_LIMITED)])
    response.headers["Retry-After"] = str(math.ceil(wait_s))
    return response
