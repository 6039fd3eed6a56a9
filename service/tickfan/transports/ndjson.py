"""``/v1/ndjson``: one JSON object a line, for scripts and other services.

The stream itself is that of SSE. Must not know SSE or WebSocket.
"""

from __future__ import annotations

from aiohttp import HttpVersion11, web

from tickfan.transports import streams
from tickfan.transports.admission import ADMISSION

CONTENT_TYPE = "application/x-ndjson"


async def ndjson(request: web.Request) -> web.StreamResponse:
    """Stream the channels of the query (GET) or of the JSON body (POST)."""
    admission = request.app[ADMISSION]
    plan = await streams.plan_of(admission, request)
    instead = streams.instead(admission, request, plan, "ndjson")
    if instead is not None:
        return instead
    response = web.StreamResponse(headers=streams.HEADERS)
    response.content_type = CONTENT_TYPE
    format_ = admission.formats.ndjson(chunked=request.version >= HttpVersion11)
    await streams.run(admission, request, response, plan, format_, "ndjson")
    return response


async def ndjson_away(request: web.Request) -> web.StreamResponse:
    """What is told to a client that is throttled."""
    admission = request.app[ADMISSION]
    format_ = admission.formats.ndjson(chunked=False)
    return streams.sent_away(admission, request, format_, CONTENT_TYPE, "ndjson")
