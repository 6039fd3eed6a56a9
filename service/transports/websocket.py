"""``/v1/ws``: WebSocket, as MessagePack or JSON by subprotocol.

aiohttp does the handshake and reads; the hub's frames go to the transport
prebuilt (server frames are unmasked, so one serves all). Must not know what a
subscription does.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import WebSocketError, WSMsgType, web

from service.connections import now_ms
from service.core import closing
from service.core.errors import Refusal
from service.subscriptions import parse_request, plan
from service.transports import commands
from service.transports.doors import DOORS
from service.transports.requests import check_count
from service.wire.formats import JSON_V1, MSGPACK_V1

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.core.closing import Reason
    from service.membership import Connection
    from service.transports.doors import Doors
    from service.wire.base import Format

log = structlog.get_logger("tickfan.websocket")

SUBPROTOCOLS = (MSGPACK_V1, JSON_V1)
HARD_LIMIT = 4
"""aiohttp cuts the connection above this many times ``message_bytes_max``; up to
it an oversize message gets an error by name and the connection lives on."""

ERRORS_MAX = 32
"""Channels of one command that are refused by name; of the others the number is told."""


async def websocket(request: web.Request) -> web.StreamResponse:
    """Serve one WebSocket connection until either side ends it."""
    doors = request.app[DOORS]
    _check_handshake(request)
    socket = web.WebSocketResponse(
        protocols=SUBPROTOCOLS,
        compress=False,  # aiohttp's default is on: a zlib pass for each client
        autoping=False,  # pongs are looked at here, and pings come from one timer
        heartbeat=None,
        max_msg_size=doors.limits.message_bytes_max * HARD_LIMIT,
        timeout=doors.limits.closing_timeout_s,
    )
    await socket.prepare(request)
    transport = request.transport
    if transport is None:  # gone while the headers were written
        return socket
    format_ = doors.formats.websocket(socket.ws_protocol)
    refused = doors.refuses(lossless=False) if doors.tune(transport) else closing.INTERNAL
    if refused is not None:
        doors.turned_away(format_, refused, format_.name, request.remote or "")
        transport.write(doors.closing_event(format_, refused, None))
        await _close(doors, socket, transport, refused)
        return socket
    await Conversation(doors, socket, transport, format_, request.remote or "").run()
    return socket


def _check_handshake(request: web.Request) -> None:
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise Refusal("upgrade_required", "this address speaks WebSocket; for HTTP use /v1/sse")
    offered = request.headers.getall("Sec-WebSocket-Protocol", [])
    names = [name.strip() for value in offered for name in value.split(",")]
    if names and not set(names) & set(SUBPROTOCOLS):
        raise Refusal(
            "bad_subprotocol",
            f"the subprotocols are {' and '.join(SUBPROTOCOLS)}, not {', '.join(names)[:160]}",
            "Sec-WebSocket-Protocol",
        )


class Conversation:
    """One client's commands and our answers."""

    def __init__(
        self,
        doors: Doors,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
        format_: Format,
        remote: str,
    ) -> None:
        self._doors = doors
        self._socket = socket
        self._transport = transport
        self._format = format_
        self._decode = (
            commands.decode_json if socket.ws_protocol == JSON_V1 else commands.decode_msgpack
        )
        self._frame = WSMsgType.TEXT if socket.ws_protocol == JSON_V1 else WSMsgType.BINARY
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._connection: Connection = doors.connections.connect(
            format_, transport, self._on_end, remote=remote, pings=True
        )

    async def run(self) -> None:
        """Talk until the end, and close in order."""
        connection, subscriber = self._connection, self._connection.subscriber
        reason = closing.LOST
        try:
            self._say("welcome", self._welcome())
            reason = await self._listen()
        except asyncio.CancelledError:
            # Ours (see _on_end) if the hub has ended it; else the client has gone.
            if subscriber.ended is None:
                raise
            self._task.uncancel()
        except Exception:
            log.exception("a conversation failed")
            reason = closing.INTERNAL
        finally:
            cursor = connection.cursor
            self._doors.connections.leave(connection, reason)
            self._doors.farewell(connection, self._format.name)
        reason = subscriber.ended or reason
        if reason not in (closing.LEFT, closing.LOST) and not self._transport.is_closing():
            self._transport.write(self._doors.closing_event(self._format, reason, cursor))
        await _close(self._doors, self._socket, self._transport, reason)

    def _on_end(self, _reason: Reason) -> None:
        # The handler is waiting for the client's next message; a cancel wakes
        # it without a task of its own for each connection.
        self._task.cancel()

    def _welcome(self) -> dict[str, Any]:
        limits = self._doors.limits
        return {
            "protocol": self._socket.ws_protocol or MSGPACK_V1,
            "epoch": self._doors.connections.epoch,
            "server_time": now_ms(),
            "limits": {
                "message_bytes_max": limits.message_bytes_max,
                "channels_per_connection_max": self._doors.rules.channels_per_connection_max,
            },
        }

    async def _listen(self) -> Reason:
        """Take the client's messages until there are no more; returns why."""
        socket, subscriber = self._socket, self._connection.subscriber
        while True:
            message = await socket.receive()
            subscriber.heard_at = self._doors.hub.loop.time()
            kind = message.type
            if kind is WSMsgType.PING:
                await socket.pong(message.data)
            elif kind in (WSMsgType.TEXT, WSMsgType.BINARY):
                await self._answer(kind, message.data)
            elif kind is WSMsgType.ERROR:
                # Frames that break the protocol, or its limits: aiohttp has
                # sent the close frame that names which.
                is_theirs = isinstance(message.data, WebSocketError)
                return closing.BAD_REQUEST if is_theirs else closing.LOST
            elif kind is not WSMsgType.PONG:
                return closing.LOST if socket.close_code == closing.LOST.code else closing.LEFT

    async def _answer(self, kind: WSMsgType, data: Any) -> None:
        """Do one command; what is wrong with it is said, and the connection lives on."""
        mark: str | int | None = None
        try:
            if len(data) > self._doors.limits.message_bytes_max:
                raise Refusal(  # noqa: TRY301 - one way out for every refusal
                    "message_too_big",
                    f"{len(data)} bytes; at most {self._doors.limits.message_bytes_max} go",
                )
            if kind is not self._frame:
                raise Refusal(  # noqa: TRY301
                    "wrong_frame",
                    f"{self._socket.ws_protocol or MSGPACK_V1} takes "
                    f"{self._frame.name.lower()} frames",
                )
            message = self._decode(data)
            mark = commands.command_id(message)
            op = commands.check_command(message)
            await self._do(op, message, mark)
        except Refusal as refusal:
            self._refuse([refusal], mark)

    async def _do(self, op: str, message: dict[str, Any], mark: str | int | None) -> None:
        if op == "ping":
            self._say("pong", _marked({"server_time": now_ms()}, mark))
        elif op == "unsubscribe":
            patterns = commands.patterns_of(message)
            self._doors.connections.unsubscribe(self._connection, patterns)
            gone = {"channels": [pattern.text for pattern in patterns]}
            self._say("unsubscribed", _marked(gone, mark))
        else:
            await self._subscribe(message, mark)

    async def _subscribe(self, message: dict[str, Any], mark: str | int | None) -> None:
        doors, format_ = self._doors, self._format
        request = parse_request({"snapshot": doors.limits.snapshot, **message})
        check_count(request, doors.rules.channels_per_connection_max)
        wanted = plan(request, doors.hub.feeds.values(), doors.rules)
        is_lossless = any(grant.interval_ms is None for grant in wanted.grants)
        refused = doors.refuses(lossless=is_lossless, is_in=True)
        refused = refused or await doors.wait_for(request.cursor, is_in=True)
        if refused is not None:
            self._connection.subscriber.end(refused)
            return
        granted = doors.connections.subscribe(
            self._connection,
            request,
            lambda fields: format_.event("subscribed", _marked(fields, mark)),
            lambda cursor: format_.event("snapshot_end", _marked({}, mark), cursor),
        )
        self._refuse(granted.refusals, mark)

    def _refuse(self, refusals: Sequence[Refusal], mark: str | int | None) -> None:
        """Name what was refused, in one write: many errors are no sign of a slow client."""
        named = list(refusals[:ERRORS_MAX])
        if more := len(refusals) - len(named):
            named.append(Refusal("more_refused", f"{more} more channels were refused"))
        errors = [_marked(refusal.as_dict(), mark) for refusal in named]
        if errors:
            self._send(b"".join([self._format.event("error", error) for error in errors]))

    def _say(self, event: str, fields: dict[str, Any]) -> None:
        self._send(self._format.event(event, fields))

    def _send(self, data: bytes) -> None:
        self._connection.subscriber.control(data, self._doors.hub.loop.time())


def _marked(fields: dict[str, Any], mark: str | int | None) -> dict[str, Any]:
    return fields if mark is None else {"id": mark, **fields}


async def _close(
    doors: Doors, socket: web.WebSocketResponse, transport: asyncio.Transport, reason: Reason
) -> None:
    """Say goodbye the WebSocket way, in bounded time."""
    await doors.drained(transport)
    if transport.is_closing():
        return
    code = 1000 if reason in (closing.LEFT, closing.LOST) else reason.code
    await socket.close(code=code, message=reason.name.encode(), drain=False)
