"""One client's socket once aiohttp has let go of it: a write is the system call.

The transport of an event loop collects what is written, and tries it at the end of the
turn. This is a second queue and costs 0.4 us for each write, and nobody knows before the
next turn whether a socket is full. Must not know HTTP, frames, or who writes.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

ACKED_AT = 120
"""Where ``tcpi_bytes_acked``, 64 bits, is in what the kernel tells (linux/tcp.h)."""

READ_BYTES = 64 * 1024
"""What is read at once of what a client sends."""


class Line(asyncio.Transport):
    """A connected socket with a protocol.

    ``send`` writes what the kernel takes and returns how many bytes that was. It raises
    :class:`BlockingIOError` while the kernel takes none or anything waits, and any other
    :class:`OSError` when the connection is gone. Look ``send`` up for each call: it is
    another function when something waits. :meth:`write` takes all.
    """

    __slots__ = ("_is_closing", "_is_reading", "_loop", "_protocol", "_rest", "_sock", "send")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, protocol: asyncio.Protocol
    ) -> None:
        """Begin to read. ``sock`` is the line's own from now on, and does not block."""
        self._loop = loop
        self._sock = sock
        self._protocol: asyncio.Protocol | None = protocol
        self._rest: bytearray | None = None
        self._is_closing = self._is_reading = False
        self.send: Callable[[bytes], int] = sock.send
        self.resume_reading()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write all of it, in its order: at once, or as the client reads.

        Raises :class:`OSError` if the connection is gone.
        """
        if self._rest is not None and not self._is_closing:
            self._rest += data
            return
        try:
            sent = self.send(data)  # type: ignore[arg-type] # a view goes as well
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._rest = bytearray(data[sent:])
            self.send = full
            self._loop.add_writer(self._sock.fileno(), self._drain)

    def get_write_buffer_size(self) -> int:
        """Bytes that wait for the kernel to take them."""
        return 0 if self._rest is None else len(self._rest)

    def received_bytes(self) -> int:
        """Bytes that the client's machine has acknowledged, as the kernel counts them.

        ``tcpi_bytes_acked`` of ``tcp(7)``, TCP_INFO. 0 if the connection is gone, or is none
        of TCP.
        """
        try:
            info = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, ACKED_AT + 8)
        except OSError:
            return 0
        return int.from_bytes(info[ACKED_AT : ACKED_AT + 8], sys.byteorder)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """The ``socket``; nothing else is known."""
        return self._sock if name == "socket" else default

    def is_closing(self) -> bool:
        """Whether it is closed, or will be when all is written."""
        return self._is_closing

    def is_reading(self) -> bool:
        """Whether the protocol gets what comes."""
        return self._is_reading

    def pause_reading(self) -> None:
        """Leave what comes to the kernel, and the client to wait."""
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._sock.fileno())

    def resume_reading(self) -> None:
        """Give the protocol what comes."""
        if not self._is_reading and not self._is_closing:
            self._is_reading = True
            self._loop.add_reader(self._sock.fileno(), self._read)

    def close(self) -> None:
        """Close when all is written that waits; nothing is read or taken any more."""
        if not self._is_closing:
            self.pause_reading()
            self._is_closing = True
            self.send = gone
            if self._rest is None:
                self._over(None)

    def abort(self) -> None:
        """Close now; what waits is lost."""
        self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        self.pause_reading()
        if self._rest is not None:
            self._rest = None
            self._loop.remove_writer(self._sock.fileno())
            self._over(error)
        elif not self._is_closing:
            self._over(error)

    def _over(self, error: Exception | None) -> None:
        """Nothing waits and nothing is watched: the protocol is told in the next turn."""
        self._is_closing = True
        self.send = gone
        self._sock.close()
        protocol, self._protocol = self._protocol, None  # or each would keep the other
        if protocol is not None:
            self._loop.call_soon(protocol.connection_lost, error)

    def _read(self) -> None:
        # Read until nothing is left: after a reset libuv asks for the last time, even if
        # bytes from before it still wait.
        while self._is_reading:
            try:
                data = self._sock.recv(READ_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                self._lose(error)
                return
            if not data:
                self.close()
                return
            assert self._protocol is not None
            try:
                self._protocol.data_received(data)
            except BaseException:
                self.abort()
                raise

    def _drain(self) -> None:
        assert self._rest is not None
        try:
            sent = self._sock.send(self._rest)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            return
        del self._rest[:sent]
        if self._rest:
            return
        self._rest = None
        self._loop.remove_writer(self._sock.fileno())
        if self._is_closing:
            self._over(None)
        else:
            self.send = self._sock.send


def take_over(
    loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, protocol: asyncio.Protocol
) -> Line:
    """Make a line of a transport's socket; the transport ends, the connection goes on.

    All that was written to it must be with the kernel. Raises :class:`ConnectionError`
    if it is not, or the connection is gone; :class:`OSError` if no file can be opened.
    """
    sock = transport.get_extra_info("socket")
    if sock is None or transport.is_closing():
        raise ConnectionAbortedError("the connection is gone")
    if transport.get_write_buffer_size():
        raise ConnectionAbortedError("the client has not read what it was sent before")
    return Line(loop, release(transport), protocol)


def release(transport: asyncio.Transport) -> socket.socket:
    """The socket of a transport, which ends. Raises :class:`OSError` if no file can be opened."""
    sock = transport.get_extra_info("socket")
    own = socket.socket(sock.family, sock.type, sock.proto, fileno=os.dup(sock.fileno()))
    own.setblocking(False)
    # It closes its own file, and nobody hears of it: our file keeps the connection open.
    transport.set_protocol(asyncio.Protocol())
    transport.abort()
    return own


def full(_data: bytes) -> NoReturn:
    """What ``send`` is while something waits."""
    raise BlockingIOError("what was written before is still waiting")


def gone(_data: bytes) -> NoReturn:
    """What ``send`` is from the close on."""
    raise ConnectionAbortedError("the connection is closed")
