"""aiohttp's server, with JSON for what it refuses before any of our code is asked.

Must not know applications or routes.
"""

from __future__ import annotations

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from service.core.errors import Refusal
from service.transports.errors import error_response


class Handler(web.RequestHandler):
    """aiohttp's handler; only the body of its own errors differs.

    The most common is a request line that is too long: a hundred channels in a URL.
    """

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """As the base, but for the body."""
        refused = super().handle_error(request, status, exc, message)
        sentence = "this is no HTTP request that the service reads"
        if isinstance(exc, LineTooLong):
            sentence = "a line of the request is too long: POST the channels as a JSON body"
        response = error_response([Refusal("bad_request", sentence)], refused.status)
        response.force_close()
        return response


class Server(web.Server):
    """Makes our handlers; aiohttp has no setting for it."""

    def __call__(self) -> Handler:
        """A handler for a new connection."""
        return Handler(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """An application's runner whose server is ours."""

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        server.__class__ = Server
        return server
