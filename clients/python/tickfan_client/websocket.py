"""The WebSocket transport: MessagePack in binary frames.

The only module that knows the messages of subprotocol ``tickfan.msgpack.v1``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import msgpack

from tickfan_client.errors import Closed, ProtocolError, Refused, Unreachable, lost
from tickfan_client.events import Event, Received, as_object, checked
from tickfan_client.transport import why

if TYPE_CHECKING:
    from tickfan_client.transport import Options, Subscription

CLOSE_TIMEOUT_S = 2.0
"""How long the service's goodbye is waited for."""

SUBPROTOCOL = "tickfan.msgpack.v1"
_ENDED = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED)


class WebSocket:
    """One WebSocket connection; takes any number of subscriptions."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    async def open(self, http: aiohttp.ClientSession) -> None:
        """Connect; raises :class:`Unreachable`, :class:`Refused`."""
        options = self._options
        url = options.url / "v1/ws"
        try:
            async with asyncio.timeout(options.connect_timeout_s):
                self._socket = await http.ws_connect(
                    url,
                    protocols=(SUBPROTOCOL,),
                    headers=options.headers,
                    max_msg_size=options.message_bytes_max,
                    compress=0,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT_S),
                )
        except aiohttp.WSServerHandshakeError as error:
            raise Refused(
                f"http_{error.status}", f"{url}: {error.message}", status=error.status
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"no connection to {url}: {why(error)}") from error
        if self._socket.protocol != SUBPROTOCOL:
            await self.close()
            raise ProtocolError(f"{url} does not speak {SUBPROTOCOL}")

    async def subscribe(self, subscription: Subscription) -> None:
        """Send the command; the answer names its id."""
        command = {"op": "subscribe", "id": subscription.id, **subscription.as_dict()}
        assert self._socket is not None
        try:
            await self._socket.send_bytes(msgpack.packb(command))
        except (aiohttp.ClientError, OSError) as error:
            raise lost(why(error)) from error

    async def receive(self) -> list[Received]:
        """The items of the next message."""
        assert self._socket is not None
        message = await self._socket.receive()
        if message.type is aiohttp.WSMsgType.BINARY:
            return _items(_unpack(message.data))
        if message.type in _ENDED:
            raise _closed(self._socket, message)
        if message.type is aiohttp.WSMsgType.ERROR:
            raise lost(why(message.data)) from message.data
        raise ProtocolError(f"a {message.type.name} frame, where only binary ones are agreed")

    async def close(self) -> None:
        """Say goodbye; does not wait long for the answer."""
        if self._socket is not None:
            await self._socket.close()


def _unpack(body: bytes) -> dict[str, Any]:
    try:
        value = msgpack.unpackb(
            body,
            strict_map_key=True,
            max_ext_len=0,
            max_bin_len=0,
            max_array_len=len(body),
            max_map_len=len(body),
        )
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise ProtocolError(f"a message that is not MessagePack: {why(error)}") from error
    return as_object(value)


def _items(message: dict[str, Any]) -> list[Received]:
    kind, cursor = message.pop("t", None), message.pop("c", None)
    if not isinstance(kind, str):
        raise ProtocolError("a message without its kind, t")
    if kind != "updates":
        return [Received(Event(kind, message), cursor)]
    is_snapshot = message.get("snapshot") is True
    try:
        items = [Received(checked(*row, is_snapshot=is_snapshot)) for row in message["u"]]
    except (KeyError, TypeError) as error:
        raise ProtocolError(f"updates that cannot be read: {why(error)}") from error
    if cursor is not None and items:
        # The cursor is exact after the whole message, so its last row brings it.
        items[-1] = Received(items[-1].item, cursor)
    return items


def _closed(socket: aiohttp.ClientWebSocketResponse, message: aiohttp.WSMessage) -> Closed:
    code = message.data if isinstance(message.data, int) else socket.close_code
    if code is None or code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE:
        return lost("the WebSocket was cut")
    return Closed(message.extra or "closed", code)
