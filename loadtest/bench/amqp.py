"""A blocking AMQP 0-9-1 publisher of prebuilt frames, on pamqp's codec.

The load shares a core with the broker: through an asyncio client, making the
messages would cost more than what is measured. No confirms: whether all came
is counted at the other end. Must not know what is published.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING

from pamqp import commands, frame
from pamqp.header import ContentHeader, ProtocolHeader

if TYPE_CHECKING:
    from pamqp.base import Frame

_CHANNEL = 1
_BODY_HEAD = Struct("!BHI").pack
FRAME_BYTES_MAX = 131_072
TIMEOUT_S = 30.0


class Publisher:
    """One connection with one channel, to publish to ``exchange``."""

    def __init__(self, port: int, exchange: str) -> None:
        self._exchange = exchange
        self._socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self._socket.sendall(ProtocolHeader(0, 9, 1).marshal())
        self._await(commands.Connection.Start)
        self._send(commands.Connection.StartOk({}, "PLAIN", "\0guest\0guest", "en_US"), 0)
        self._await(commands.Connection.Tune)
        self._send(commands.Connection.TuneOk(2, FRAME_BYTES_MAX, 0), 0)
        self._send(commands.Connection.Open(), 0)
        self._await(commands.Connection.OpenOk)
        self._send(commands.Channel.Open(), _CHANNEL)
        self._await(commands.Channel.OpenOk)
        self._method = lru_cache(maxsize=100_000)(self._marshal_method)
        self._header = lru_cache(maxsize=4096)(self._marshal_header)

    def declare(self) -> None:
        """Make the exchange that is published to: for brokers from which nobody else consumes."""
        self._send(commands.Exchange.Declare(0, self._exchange, "topic", durable=True), _CHANNEL)
        self._await(commands.Exchange.DeclareOk)

    def message(self, routing_key: str, body: bytes, *, batch: bool) -> bytes:
        """The bytes that publish one message."""
        assert len(body) < FRAME_BYTES_MAX - 8, "one body frame"
        return b"%b%b%b%b\xce" % (
            self._method(routing_key),
            self._header(len(body), batch),
            _BODY_HEAD(3, _CHANNEL, len(body)),
            body,
        )

    def write(self, data: bytes) -> None:
        """Write messages; waits as long as the broker does not read."""
        self._socket.sendall(data)

    def close(self) -> None:
        """Close in order, so that everything written has been taken.

        From a broker that is too far behind to answer we go anyway: what it
        has not taken is missing at the other end, where it is counted.
        """
        with suppress(TimeoutError):
            self._send(commands.Connection.Close(200, "done", 0, 0), 0)
            self._await(commands.Connection.CloseOk)
        self._socket.close()

    def _marshal_method(self, routing_key: str) -> bytes:
        publish = commands.Basic.Publish(exchange=self._exchange, routing_key=routing_key)
        return frame.marshal(publish, _CHANNEL)

    def _marshal_header(self, size: int, batch: bool) -> bytes:
        properties = commands.Basic.Properties(
            content_type="application/json", headers={"batch": True} if batch else None
        )
        return frame.marshal(ContentHeader(0, size, properties), _CHANNEL)

    def _send(self, method: Frame, channel: int) -> None:
        self._socket.sendall(frame.marshal(method, channel))

    def _await(self, kind: type[Frame]) -> None:
        while True:
            while len(self._received) < 7 or len(self._received) < 8 + int.from_bytes(
                self._received[3:7], "big"
            ):
                data = self._socket.recv(65536)
                if not data:
                    raise ConnectionError("RabbitMQ closed the connection")
                self._received += data
            taken, _, value = frame.unmarshal(self._received)
            self._received = self._received[taken:]
            if isinstance(value, kind):
                return
