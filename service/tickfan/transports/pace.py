"""How often an address may ask, at what cost, and how many streams may begin: before any body.

Must not know what is asked, nor how a stream is told.
"""

from __future__ import annotations

import math
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple, Protocol

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


class Limit(NamedTuple):
    """A limit of an address: its setting, and what somebody is told who is over it."""

    section: str
    setting: str
    message: str

    def refusal(self) -> Refusal:
        """What somebody is told who is over it."""
        return Refusal("rate_limited", self.message.format(f"{self.section}.{self.setting}"))


REQUESTS = Limit(
    "http",
    "requests_per_address_per_s_max",
    "this address asks more often than {}; wait, or keep a stream instead of asking again and "
    "again",
)
COST = Limit(
    "http",
    "cost_ms_per_address_per_s_max",
    "what this address asks for takes more than {}; wait, ask for fewer channels at once, or keep "
    "a stream instead of asking again and again",
)
UPDATES = Limit(
    "publish",
    "updates_per_address_per_s_max",
    "this address publishes more often than {}; wait, or publish over AMQP",
)


class Payer(Protocol):
    """Who pays for the loop's time that an answer takes."""

    def __call__(self, cost_s: float) -> None:
        """Pay for so many seconds."""


PAYER: web.RequestKey[Payer] = web.RequestKey("payer", Payer)


def paced(admission: Admission, away: Mapping[Any, Teller], publish: Handler) -> Middleware:
    """Turn away who asks too often, before the body is read.

    ``away`` holds the handlers of streams, each with what tells a client of it that it
    is throttled. Other requests get 429. ``publish`` is the handler that publishes an update.
    """
    addresses = admission.addresses

    @web.middleware
    async def pace(request: web.Request, handler: Handler) -> web.StreamResponse:
        remote = admission.remote_of(request)
        tell = away.get(request.match_info.handler)
        waits = [(addresses.ask(remote), REQUESTS), (addresses.owes(remote), COST)]
        if waits[1][0]:
            admission.tally.throttled[ADDRESS_COST] += 1
        if request.match_info.handler is publish:
            waits.append((addresses.publish(remote), UPDATES))
        wait_s, limit = max(waits, key=itemgetter(0))
        if tell is None:
            if wait_s:
                return _later(admission, remote, wait_s, limit)
            request[PAYER] = partial(addresses.charge, remote)
            return await handler(request)
        if wait_s or addresses.has_streams(remote):
            return await tell(request)
        if addresses.begin_stream():
            # Another replica may have begun fewer.
            if ASK_NEXT in request.headers:
                return admission.elsewhere(closing.THROTTLED)
            return await tell(request)
        return await handler(request)

    return pace


def _later(admission: Admission, remote: str, wait_s: float, limit: Limit) -> web.Response:
    per_s = {limit.setting: getattr(admission.addresses.shares, limit.setting)}
    admission.refused.tell("request refused", reason="rate_limited", remote=remote, **per_s)
    response = error_response([limit.refusal()])
    response.headers["Retry-After"] = str(math.ceil(wait_s))
    return response
