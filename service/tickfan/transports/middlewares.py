"""What happens to each request around its handler: its headers, its turn, its body, its errors.

Must not know what is asked.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

import structlog
from aiohttp import hdrs, web

from tickfan.core.errors import Refusal
from tickfan.transports.errors import ErrorResponse, error_response
from tickfan.transports.server import has_begun

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from aiohttp.typedefs import Handler, Middleware

log = structlog.get_logger("tickfan.http")

REQUESTS_A_TURN = 16

BEGINNING_S = 0.005
"""How long the requests of one turn may take; the last may begin at the end of it."""

LISTS = (
    hdrs.ACCEPT,
    hdrs.ACCEPT_ENCODING,
    hdrs.CONTENT_ENCODING,
    hdrs.IF_NONE_MATCH,
    hdrs.SEC_WEBSOCKET_PROTOCOL,
)
"""The headers that hold a list, of those that are read here or by aiohttp."""


@web.middleware
async def lists_on_one_line(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Join a list that came in several header lines: they are one list (RFC 9110, 5.3).

    Whoever reads a header, aiohttp too, looks at its first line alone. Raises
    :class:`Refusal` if the headers are not UTF-8 and would have to be joined.
    """
    headers = request.headers
    several = [name for name in LISTS if len(headers.getall(name, ())) > 1]
    if several:
        joined = headers.copy()
        joined.update({name: ", ".join(headers.getall(name)) for name in several})
        try:
            request = request.clone(headers=joined)
        except UnicodeEncodeError:
            raise Refusal("bad_request", "the headers of the request are not UTF-8") from None
    return await handler(request)


def few_a_turn(stopwatch: Callable[[], float], most: int = REQUESTS_A_TURN) -> Middleware:
    """Begin ``most`` requests in each turn of the loop; more that have come wait.

    A request takes some 150 us, and after a restart hundreds come at once. One for a value of
    a megabyte takes longer, so their time is bounded, too: by BEGINNING_S.
    """
    begun = 0
    began = 0.0

    def next_turn() -> None:
        nonlocal begun
        begun = 0

    @web.middleware
    async def wait(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal begun, began
        # An event would wake all of them at once.
        while begun and (begun >= most or stopwatch() - began >= BEGINNING_S):  # noqa: ASYNC110
            await asyncio.sleep(0)
        if not begun:
            began = stopwatch()
            asyncio.get_running_loop().call_soon(next_turn)
        begun += 1
        return await handler(request)

    return wait


def body_within(timeout_s: float) -> Middleware:
    """Read each request's body before its handler, and refuse one that takes longer.

    Without it a client that sends a byte and no more would be held for ever, and would
    hold up a stop for all of its grace.
    """

    @web.middleware
    async def read(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.can_read_body:
            try:
                async with asyncio.timeout(timeout_s):
                    await request.read()  # it is kept for the handler
            except TimeoutError:
                raise Refusal(
                    "request_timeout", f"the body did not arrive within {timeout_s:g} s"
                ) from None
        return await handler(request)

    return read


def errors_as_json(refused: Counter[str]) -> Middleware:
    """Turn refusals, aiohttp's own errors and failures into JSON answers, counted by code."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await _answer(request, handler)
        if isinstance(response, ErrorResponse):
            refused[response.code] += 1
        return response

    return middleware


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refusal as refusal:
        return error_response([refusal])
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        response = error_response([_of_http(request, error)], error.status)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except Exception as error:
        transport = request.transport
        is_gone = transport is None or transport.is_closing()
        # That is how writing to a client that has gone fails.
        if not (is_gone and isinstance(error, ConnectionError)):
            log.exception("a request failed", method=request.method, route=_route(request))
        if transport is not None and has_begun(request):
            # Another response would be read as a part of the one that has begun.
            transport.abort()
        failure = Refusal("internal", "the service failed; its log says why")
        return error_response([failure], HTTPStatus.INTERNAL_SERVER_ERROR)


def _of_http(request: web.Request, error: web.HTTPException) -> Refusal:
    if isinstance(error, web.HTTPNotFound):
        return Refusal(
            "not_found",
            "there is no such address; there are /v1/sse, /v1/ws, /v1/ndjson, /v1/channels",
            request.path[:160],
        )
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return Refusal("method_not_allowed", f"use {allowed} here", request.method)
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return Refusal("too_large", "the body is larger than http.body_bytes_max")
    return Refusal("bad_request", (error.text or error.reason)[:160])


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return request.path if resource is None else resource.canonical
