"""A client's socket with TLS: a line whose writes are records.

Event loops have a TLS of their own. It keeps 256 KiB for each connection and queues what is
written, so nobody knows whether a socket is full. Here OpenSSL has the socket itself, and a
write says at once who is slow, as without TLS. It has one transport from the accept on, for
aiohttp and for who comes after it. Must not know HTTP, frames, or who writes.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Any, NamedTuple

from tickfan.transports.line import READ_BYTES, Line, full, gone, take_over

if TYPE_CHECKING:
    import asyncio
    from collections import Counter
    from collections.abc import Callable

    from tickfan.transports.certificate import Certificate

RECORD_BYTES = 16_384
"""The most that one record holds (RFC 8446, section 5.1). OpenSSL makes a record whole, and
cannot take it back. So this is what a full socket takes beyond what the kernel takes."""

RECORDS_A_TURN = 16
"""Records of one connection that are read or written in one turn of the loop."""

HANDSHAKES = ("done", "plain", "failed")
"""How one ends. ``plain``: the client speaks HTTP without TLS."""

HTTP_REQUEST = "HTTP_REQUEST"
"""What OpenSSL calls a request that came without TLS."""


class Tls(NamedTuple):
    """What the connections of a listener with TLS share."""

    certificate: Certificate

    add_job: Callable[[Callable[[], None]], object]
    """Runs a step of a handshake. It takes 0.3 to 2 ms, and after a restart thousands come."""

    handshakes: Counter[str]
    """Counts how they end, see HANDSHAKES."""

    plain_answer: bytes
    """What a client is told that speaks HTTP without TLS."""


class TlsLine(Line):
    """A connected socket with a protocol, which has it as its transport at once.

    So the handshake takes a part of the time that the first request may take.
    ``send`` takes all or nothing. Of what it takes the kernel may have a part: the rest waits
    as plain bytes, and as one record in OpenSSL. See :class:`Line`.
    """

    __slots__ = ("_context", "_is_paused", "_is_taken", "_record", "_shakes", "_tls")

    _sock: ssl.SSLSocket

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        protocol: asyncio.Protocol,
        tls: Tls,
    ) -> None:
        """Begin the handshake. ``sock`` is the line's own, and does not block.

        Raises :class:`OSError` if the client has gone by now.
        """
        self._loop = loop
        self._protocol = protocol
        self._tls: Tls | None = tls
        self._context = tls.certificate.context
        self._rest: bytearray | None = None
        self._record = 0  # bytes of the rest that OpenSSL has made a record of
        self._is_closing = self._is_reading = self._is_paused = self._is_taken = False
        self._shakes = True
        self.send = full
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = self._context.wrap_socket(
            sock, server_side=True, do_handshake_on_connect=False
        )
        protocol.connection_made(self)
        if not self._is_closing:
            loop.add_reader(self._sock.fileno(), self._shake_later)

    @property
    def is_shaking(self) -> bool:
        """Whether the handshake goes on."""
        return self._shakes

    def take_over(self, protocol: asyncio.Protocol) -> None:
        """Go on for another protocol, which reads, and with writes that raise.

        Raises :class:`ConnectionError` if the connection is gone.
        """
        if self._is_closing or self._shakes:
            raise ConnectionAbortedError("the connection is gone")
        self._protocol = protocol
        self._is_taken = True
        self._resume_writing()
        self.resume_reading()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write all of it, in its order: at once, or as the client reads.

        Once it is taken over it raises :class:`OSError` if the connection is gone. Before, it
        does as transports of event loops do: the protocol is told.
        """
        if self._is_closing:
            if self._is_taken:
                gone(b"")
        elif self._rest is not None:
            self._rest += data
        elif self._shakes:
            self._rest = bytearray(data)
        else:
            try:
                self._send(data)
            except OSError as error:
                if self._is_taken:
                    raise
                self._lose(error)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """``socket``, ``sslcontext``, ``ssl_object``, ``peername``, ``sockname``."""
        if name in ("socket", "ssl_object"):
            return self._sock
        if name == "sslcontext":
            return self._context
        with contextlib.suppress(OSError):
            if name == "peername":
                return self._sock.getpeername()
            if name == "sockname":
                return self._sock.getsockname()
        return default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The protocol is paused while anything waits, whatever it says."""

    def close(self) -> None:
        """Close when all is written that waits; nothing is read or taken any more."""
        if self._shakes:
            self.abort()
        elif not self._is_closing:
            self.pause_reading()
            self._is_closing = True
            self.send = gone
            if self._rest is None:
                self._say_bye()

    def _shake_later(self) -> None:
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        assert self._tls is not None
        self._tls.add_job(self._shake)

    def _shake(self) -> None:
        """Take the handshake as far as it goes."""
        if self._is_closing:
            return
        assert self._tls is not None
        try:
            self._sock.do_handshake()
        except ssl.SSLWantReadError:
            self._loop.add_reader(self._sock.fileno(), self._shake_later)
        except ssl.SSLWantWriteError:
            self._loop.add_writer(self._sock.fileno(), self._shake_later)
        except OSError as error:
            is_plain = isinstance(error, ssl.SSLError) and error.reason == HTTP_REQUEST
            self._tls.handshakes["plain" if is_plain else "failed"] += 1
            if is_plain:
                _answer(self._sock, self._tls.plain_answer)
            self._lose(error)
        else:
            self._tls.handshakes["done"] += 1
            self._tls = None
            self._shakes = False
            rest, self._rest = self._rest, None
            self.send = self._send
            if rest:
                self.write(rest)
            self.resume_reading()

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        size = len(data)
        sent = 0
        try:
            if size <= RECORD_BYTES:  # nearly always
                self._sock.send(data)
                return size
            whole = memoryview(data)
            while sent < size:
                sent += self._sock.send(whole[sent : sent + RECORD_BYTES])
        except ssl.SSLWantWriteError:
            self._rest = bytearray(data[sent:])
            self._record = min(size - sent, RECORD_BYTES)
            self.send = full
            self._loop.add_writer(self._sock.fileno(), self._drain)
            self._is_paused = True
            assert self._protocol is not None
            self._protocol.pause_writing()
        return size

    def _drain(self) -> None:
        rest = self._rest
        assert rest is not None
        try:
            for _ in range(RECORDS_A_TURN):
                # The same bytes as before, or OpenSSL takes it for a mistake (SSL_write(3)).
                self._sock.send(bytes(rest[: self._record]))
                del rest[: self._record]
                self._record = min(len(rest), RECORD_BYTES)
                if not rest:
                    break
        except ssl.SSLWantWriteError:
            return
        except OSError as error:
            self._lose(error)
            return
        if rest:
            return
        self._rest = None
        self._loop.remove_writer(self._sock.fileno())
        if self._is_closing:
            self._say_bye()
        else:
            self.send = self._send
            self._resume_writing()

    def _resume_writing(self) -> None:
        if self._is_paused and self._protocol is not None and self._rest is None:
            self._is_paused = False
            self._protocol.resume_writing()

    def _read(self) -> None:
        for _ in range(RECORDS_A_TURN):
            if not self._is_reading:
                return
            try:
                # A whole record at once, so OpenSSL holds nothing that no loop could see.
                data = self._sock.recv(READ_BYTES)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return  # what OpenSSL wants to write goes with the next write
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
        # Not left to the loop: after a reset it does not ask again, see Line.
        self._loop.call_soon(self._read)

    def _lose(self, error: Exception | None) -> None:
        if self._shakes and not self._is_closing:
            self._loop.remove_reader(self._sock.fileno())
            self._loop.remove_writer(self._sock.fileno())
        super()._lose(error)

    def _say_bye(self) -> None:
        """All is written: say so (RFC 8446, section 6.1), and wait for no answer."""
        with contextlib.suppress(OSError, ValueError):
            self._sock.unwrap()
        self._over(None)


def _answer(sock: socket.socket, answer: bytes) -> None:
    """Write bytes without TLS, and drop what came, or a reset would overtake them."""
    plain = socket.socket
    with contextlib.suppress(OSError):
        plain.send(sock, answer)
        plain.shutdown(sock, socket.SHUT_WR)
        for _ in range(RECORDS_A_TURN):
            plain.recv(sock, READ_BYTES)


def taken_over(
    loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, protocol: asyncio.Protocol
) -> Line:
    """The line of a connection that goes on for ``protocol``, with TLS or without.

    Raises :class:`OSError` if the connection cannot be taken over.
    """
    if isinstance(transport, TlsLine):
        transport.take_over(protocol)
        return transport
    return take_over(loop, transport, protocol)
