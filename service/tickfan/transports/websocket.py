"""``/v1/ws``: WebSocket, as MessagePack or JSON by subprotocol.

aiohttp does the handshake and hands the connection over. Must not know what is
said on it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import HttpVersion11, web

from tickfan.core import closing
from tickfan.core.errors import Refusal
from tickfan.transports.admission import ADMISSION
from tickfan.transports.conversation import Conversation
from tickfan.transports.credentials import IDENTITY, offered
from tickfan.transports.origins import check_origin
from tickfan.transports.server import handler_of
from tickfan.transports.tickets import TURNED_AWAY
from tickfan.wire.formats import JSON_V1, MSGPACK_V1

if TYPE_CHECKING:
    from tickfan.access.identity import Identity
    from tickfan.core.closing import Reason

SUBPROTOCOLS = (MSGPACK_V1, JSON_V1)
VERSION = "13"


async def websocket(request: web.Request) -> web.StreamResponse:
    """Serve one WebSocket connection until either side ends it."""
    admission = request.app[ADMISSION]
    _check_handshake(request)
    check_origin(request)
    # What it will subscribe to is not known yet: it may be a lossless feed.
    if (busy := admission.ask_next(request, lossless=True)) is not None:
        return busy
    return await _converse(request, request[IDENTITY], turned_away=request.get(TURNED_AWAY))


async def websocket_away(request: web.Request) -> web.StreamResponse:
    """Tell a client that it is throttled. A status would tell a browser nothing."""
    _check_handshake(request)
    return await _converse(request, request.app[ADMISSION].gate.anonymous, closing.THROTTLED)


async def _converse(
    request: web.Request,
    identity: Identity,
    refused: Reason | None = None,
    turned_away: Reason | None = None,
) -> web.StreamResponse:
    admission = request.app[ADMISSION]
    socket = web.WebSocketResponse(
        protocols=SUBPROTOCOLS,
        compress=False,  # aiohttp's default is on: a zlib pass for each client
    )
    await socket.prepare(request)
    handler = handler_of(request)
    if handler.transport is not None:
        await admission.drained(handler.transport)
    remote = admission.remote_of(request)
    conversation = Conversation(
        admission,
        socket.ws_protocol,
        identity,
        remote,
        turned_away=turned_away,
    )
    with conversation.until_taken():
        refused = refused or conversation.come_from(remote) or conversation.take(handler)
    if refused is None:
        raise asyncio.CancelledError
    if handler.transport is not None and not handler.transport.is_closing():
        handler.transport.write(conversation.goodbye_frames(refused, None))
        handler.transport.close()
        admission.turned_away(conversation.format, refused, conversation.name, remote)
    return socket


def _check_handshake(request: web.Request) -> None:
    """Raise :class:`Refusal` for what aiohttp would let in, or would not name.

    RFC 6455, section 4.2, and RFC 9110, section 7.8.
    """
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise Refusal("upgrade_required", "this address speaks WebSocket; for HTTP use /v1/sse")
    if request.version < HttpVersion11:
        raise Refusal(
            "upgrade_required",
            "a WebSocket needs HTTP/1.1, and this request came by HTTP/1.0; a proxy in front "
            "must use 1.1 (nginx: proxy_http_version 1.1)",
        )
    version = request.headers.get("Sec-WebSocket-Version", "")
    if version != VERSION:
        raise Refusal(
            "upgrade_required",
            f"Sec-WebSocket-Version must be {VERSION} (RFC 6455), not {version[:40]!r}",
            "Sec-WebSocket-Version",
        )
    if not request.headers.get("Sec-WebSocket-Key", "").isascii():
        # All else that is wrong with it aiohttp refuses; this it does not expect.
        raise Refusal("bad_request", "the key is not base64 of 16 bytes", "Sec-WebSocket-Key")
    if request.body_exists:
        raise Refusal("bad_request", "the handshake of a WebSocket has no body")
    names, _ = offered(request)
    if names and not set(names) & set(SUBPROTOCOLS):
        raise Refusal(
            "bad_subprotocol",
            f"the subprotocols are {' and '.join(SUBPROTOCOLS)}, not {', '.join(names)[:160]}",
            "Sec-WebSocket-Protocol",
        )
