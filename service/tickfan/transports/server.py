"""aiohttp's server, with JSON for what it refuses itself, and the way out of it.

A connection that goes on for hours is handed over to a small protocol of ours. Must not
know applications, routes, or who takes over.

No other module uses insides of aiohttp, which it may change without a word. The
unit test fails by the name of one that has, and pyproject.toml bounds the version:

``BaseRequest.protocol``                 the connection's handler
``BaseRequest.writer.output_size``       how much of a response has been written
``RequestHandler._current_request``      that which is being answered
``RequestHandler._keepalive_timeout``    how long a connection may be idle; 0: for ever
``RequestHandler._loop``                 the loop of the connection that is handed over
``RequestHandler._manager``              the server that counts the connection as open
``RequestHandler._message_tail``         what came behind the request of an upgrade
``RequestHandler._request_count``        how many have come on the connection
``RequestHandler._upgraded``             whether what comes is no HTTP any more
``RequestHandler._waiter``               set while no request is here: the client is idle
``RequestHandler.close``                 called at a stop: it leaves idle connections open
``RequestHandler.connection_lost``       lets go of a connection, whose socket goes on
``RequestHandler.connection_made``       called with the transport of a new connection
``RequestHandler.data_received``         reads requests of what has come
``RequestHandler.handle_error``          makes the answer to what could not be read
``RequestHandler.log_exception``         logs a failure, as the exception itself
``RequestHandler.set_parser``            called by WebSocketResponse, for a reader of its own
``RequestHandler.start``                 takes a cancel of the request's handler for its end
``RequestHandler.transport``             None: there is nothing to close
``Server.__call__``                      makes the handler of a new connection
``Server.__class__``                     can be set: ours has no fields in slots
``Server._kwargs``                       what else a handler is made with
``Server._loop``                         the loop a handler is made with
``Server.connections``                   all that are open
``Server.pre_shutdown``                  closes the idle connections
``AppRunner._make_server``               makes the server of an application
``BaseSite._server``                     what a site listens with
``http_exceptions.HttpProcessingError``  a request that could not be read
``http_exceptions.LineTooLong``          a line of it was too long
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from tickfan.core.errors import Refusal
from tickfan.transports.door import Door
from tickfan.transports.errors import bare_answer, error_response
from tickfan.transports.headers import add_headers
from tickfan.transports.tls import Entrance
from tickfan.transports.tlsline import taken_over

if TYPE_CHECKING:
    import asyncio
    import socket

    from aiohttp.http import WebSocketReader

    from tickfan.transports.addresses import Address
    from tickfan.transports.door import Limiter
    from tickfan.transports.taker import Taker
    from tickfan.transports.tlsline import Tls

HEAD_BYTES_MAX = 65_536
"""Bytes of the line and the headers of one request, and of requests that are sent ahead.

aiohttp bounds a line (8,190 bytes), the headers (128) and the requests that wait (32). This
would be a mebibyte for each of them."""

HEAD_TOO_LARGE = bare_answer(
    Refusal(
        "headers_too_large",
        f"the headers of a request have at most {HEAD_BYTES_MAX} bytes together: POST the "
        "channels as a JSON body, and send fewer cookies",
    )
)


UnreadableRequest = HttpProcessingError
"""What aiohttp raises for bytes that are no HTTP."""


class Handler(web.RequestHandler):
    """aiohttp's handler; only the body of its own errors differs.

    The most common is a request line that is too long: a hundred channels in a URL.
    """

    __slots__ = ("address", "deadline", "head_bytes")

    address: Address | None
    """What the socket counts for; None: it is not counted, or not any more."""

    deadline: asyncio.TimerHandle

    head_bytes: int
    """Bytes that have come since the last whole request, and are none of its body."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """As the base, but for the body; a client that has gone is no error."""
        if isinstance(exc, ConnectionError) and (
            self.transport is None or self.transport.is_closing()
        ):
            raise exc  # as the base does after the headers: it ends the connection, quietly
        refused = super().handle_error(request, status, exc, message)
        sentence = "the service cannot read this as an HTTP request"
        if isinstance(exc, LineTooLong):
            sentence = "a line of the request is too long: POST the channels as a JSON body"
        response = error_response([Refusal("bad_request", sentence)], refused.status)
        response.force_close()
        self.cut_later()
        add_headers(response)  # no application is asked, which would do so
        return response

    def cut_later(self) -> None:
        """Whatever the client reads, its connection ends: it has not asked for anything."""
        server, transport = self._manager, self.transport
        if transport is not None and isinstance(server, Server):
            self.deadline.cancel()
            self.deadline = self._loop.call_later(server.header_timeout_s, transport.abort)

    def close(self) -> None:
        """As the base, and end the connection of a client that waits for its next request.

        The base cancels the wait and leaves the connection open: one idle
        connection of a proxy would hold up a stop for the whole ``stop.grace_s``.
        """
        is_idle = self._waiter is not None
        super().close()
        if is_idle and self.transport is not None:
            self.transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As the base, and write at once: nothing may wait in the transport at a hand-over.

        A plain response keeps its handler until the kernel has all of the response.

        The first request has ``header_timeout_s`` from now on. The base would give it as
        long as a kept connection may be idle.
        """
        cast("asyncio.Transport", transport).set_write_buffer_limits(0)
        server = self._manager
        assert isinstance(server, Server)
        self.head_bytes = 0
        # So the base sets no timer yet: its first one is set behind a response.
        kept_s, self._keepalive_timeout = self._keepalive_timeout, 0
        super().connection_made(transport)
        self._keepalive_timeout = kept_s
        self.expect(server)

    def data_received(self, data: bytes) -> None:
        """As the base, and bound the time and the bytes of the headers of each request.

        From its first byte on a request has ``header_timeout_s`` until the end of its headers.
        The base would give a kept connection as long as it may be idle.
        """
        count, request = self._request_count, self._current_request
        is_ahead = request is not None and request.content.is_eof()
        super().data_received(data)
        server, waiter = self._manager, self._waiter
        is_idle = waiter is not None and not waiter.done()
        if self._request_count != count or self._upgraded or not (is_idle or is_ahead):
            self.head_bytes = 0
            return
        if data and is_idle and count and not self.head_bytes:
            assert isinstance(server, Server)
            self.deadline.cancel()
            self.expect(server)
        self.head_bytes += len(data)
        if self.head_bytes > HEAD_BYTES_MAX and self.transport is not None:
            if is_idle:
                self.transport.write(HEAD_TOO_LARGE)
            self.transport.close()

    def expect(self, server: Server) -> None:
        """Wait for the next request, up to the end of its headers."""
        self.deadline = self._loop.call_later(
            server.header_timeout_s, self.end_if_silent, self._request_count
        )

    def end_if_silent(self, count: int) -> None:
        """Close a connection on which no request has come since there were ``count``."""
        if self._request_count == count and self.transport is not None:
            self.transport.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """As the base; nothing is waited for any more."""
        self.deadline.cancel()
        self.uncount()
        super().connection_lost(exc)

    def uncount(self) -> None:
        """Count the socket no more. Idempotent."""
        address, self.address = self.address, None
        if address is not None:
            address.table.close_socket(address)

    def hand_over(self, taker: Taker) -> None:
        """Let ``taker`` have the connection; the request's handler must end now, by a cancel.

        To aiohttp it is as if the client had gone. It lets go of the request, its parser
        and its two tasks. These are 10 of the 13 KB that an idle stream would hold, and
        more with a browser's headers. Raises :class:`OSError` if the connection cannot be
        taken over, see :func:`.tlsline.taken_over`; it is still aiohttp's then.
        """
        transport, server, behind = self.transport, self._manager, self._message_tail
        assert isinstance(server, Server)
        if transport is None:
            raise ConnectionAbortedError("the connection is gone")
        line = taken_over(self._loop, transport, taker)
        taker.server = server
        taker.address, self.address = self.address, None
        server.taken.add(taker)
        self.transport = None  # or the next line would close it
        self.connection_lost(None)
        try:
            taker.connection_made(line)
            if behind and not line.is_closing():
                taker.data_received(behind)
        except Exception:
            line.abort()  # it is nobody's
            raise

    def set_parser(self, parser: WebSocketReader, data_received_cb: object = None) -> None:
        """Set no reader of aiohttp's: what comes is kept until the taker reads it."""


class Server(web.Server):
    """Makes our handlers; aiohttp has no setting for it."""

    taken: set[Taker]
    """Connections that are open, but not aiohttp's any more."""

    header_timeout_s: float
    """Within which a request must be here, from its first byte to the end of its headers; the
    first of a connection from the connect on."""

    tls: Tls | None
    """None: without TLS."""

    def __call__(self) -> asyncio.Protocol:  # type: ignore[override] # a handler, or its door
        """A handler for a connection that is nobody's count: of a site of aiohttp's."""
        handler = self.handler(None)
        return handler if self.tls is None else Entrance(handler, self.tls)

    def handler(self, address: Address | None) -> Handler:
        """A handler for a new connection, which counts for an address."""
        handler = Handler(self, loop=self._loop, **self._kwargs)
        handler.address = address
        return handler

    @property
    def connections(self) -> list[Any]:
        """All that are open."""
        return [*super().connections, *self.taken]

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as the base
        """Cut what is still open."""
        for taker in self.taken:
            taker.transport.abort()
        await super().shutdown(timeout)


class Runner(web.AppRunner):
    """An application's runner whose server is ours."""

    def __init__(
        self,
        app: web.Application,
        *,
        header_timeout_s: float,
        tls: Tls | None = None,
        **options: Any,
    ) -> None:
        """``options`` are aiohttp's; its ``keepalive_timeout`` is for an idle kept connection."""
        super().__init__(app, **options)
        self.header_timeout_s = header_timeout_s
        self.tls = tls

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        server.__class__ = Server
        assert isinstance(server, Server)
        server.taken = set()
        server.header_timeout_s = self.header_timeout_s
        server.tls = self.tls
        return server

    def end_idle(self) -> None:
        """Close the connections of clients that have no request under way."""
        if self.server is not None:
            self.server.pre_shutdown()


class Site(web.BaseSite):
    """Where an application listens, with a door of ours."""

    __slots__ = ("limiter", "runner", "sockets")

    def __init__(
        self, runner: Runner, sockets: list[socket.socket], limiter: Limiter | None
    ) -> None:
        """``sockets`` listen already; without a ``limiter`` nobody is counted or turned away."""
        super().__init__(runner)
        self.runner = runner
        self.sockets = sockets
        self.limiter = limiter

    @property
    def name(self) -> str:
        """Its address."""
        host, port = self.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    async def start(self) -> None:
        """Take connections from now on."""
        await super().start()
        server = self.runner.server
        assert isinstance(server, Server)
        self._server = cast(
            "asyncio.AbstractServer",
            Door(self.sockets, server.handler, self.limiter, tls=server.tls),
        )


def handler_of(request: web.Request) -> Handler:
    """The handler of the request's connection, which can be handed over."""
    handler = request.protocol
    assert isinstance(handler, Handler)
    return handler


def has_begun(request: web.Request) -> bool:
    """Whether any of a response to it has been written."""
    return written(request) > 0


def written(request: web.Request) -> int:
    """Bytes of the response to it that have been written to the transport."""
    return request.writer.output_size
