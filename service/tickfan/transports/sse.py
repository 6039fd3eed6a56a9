"""``/v1/sse``: Server-Sent Events through aiohttp-sse's EventSourceResponse.

It does the handshake, the headers and Last-Event-ID. The hub's bytes go to the socket
prebuilt. This is the only importer of aiohttp_sse. Must not know NDJSON or WebSocket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import HttpVersion11, web
from aiohttp_sse import EventSourceResponse

from tickfan.transports import streams
from tickfan.transports.admission import ADMISSION

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter


async def sse(request: web.Request) -> web.StreamResponse:
    """Stream the channels of the query (GET) or of the JSON body (POST)."""
    admission = request.app[ADMISSION]
    plan = await streams.plan_of(admission, request)
    instead = streams.instead(admission, request, plan, "sse")
    if instead is not None:
        return instead
    response = _Response(
        sep="\n",
        allow_all_methods=True,
        # It would set TCP_USER_TIMEOUT, which kills a living client whose window is zero.
        # The hub watches progress.
        send_timeout=None,
    )
    response.headers.update(streams.HEADERS)
    del response.headers["Connection"]  # its keep-alive: the connection ends with the stream
    format_ = admission.formats.sse(chunked=request.version >= HttpVersion11)
    await streams.run(admission, request, response, plan, format_, "sse")
    return response


async def sse_away(request: web.Request) -> web.StreamResponse:
    """What is told to a client that is throttled."""
    admission = request.app[ADMISSION]
    format_ = admission.formats.sse(chunked=False)
    return streams.sent_away(admission, request, format_, "text/event-stream", "sse")


class _Response(EventSourceResponse):
    """Heartbeats come from one shared timer, not from a task for each client."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """As any response's: aiohttp-sse's would start to ping."""
        return await web.StreamResponse.prepare(self, request)
