"""Refusals as HTTP answers: always a JSON body, always a proper status.

Must not know who refuses.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import orjson
import structlog
from aiohttp import web

from tickfan.core.errors import Refusal
from tickfan.wire import events

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from aiohttp.typedefs import Handler, Middleware

log = structlog.get_logger("tickfan.http")

_STATUS = {
    "broker_down": HTTPStatus.SERVICE_UNAVAILABLE,
    "no_feed": HTTPStatus.NOT_FOUND,
    "no_value": HTTPStatus.NOT_FOUND,
    "request_timeout": HTTPStatus.REQUEST_TIMEOUT,
    "publish_failed": HTTPStatus.BAD_GATEWAY,
    "publish_forbidden": HTTPStatus.FORBIDDEN,
    "publish_off": HTTPStatus.FORBIDDEN,
    "publish_unauthorized": HTTPStatus.UNAUTHORIZED,
    "not_lossless": HTTPStatus.CONFLICT,
    "too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "unconfirmed": HTTPStatus.GATEWAY_TIMEOUT,
    "unroutable": HTTPStatus.BAD_GATEWAY,
    "unsupported_media_type": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "upgrade_required": HTTPStatus.UPGRADE_REQUIRED,
}
# What RFC 9110 demands beside a status (11.6.1, 15.5.9 and 15.5.22).
_HEADERS = {
    "publish_unauthorized": {"WWW-Authenticate": "Bearer"},
    "request_timeout": {"Connection": "close"},
    "upgrade_required": {"Upgrade": "websocket", "Connection": "Upgrade"},
}


class ErrorResponse(web.Response):
    """The answer to a refused request; ``code`` is that of the first refusal."""

    code = ""


def error_response(refusals: Sequence[Refusal], status: int | None = None) -> ErrorResponse:
    """The answer to a refused request; ``error`` is the first of ``errors``."""
    first = refusals[0]
    body = {"error": events.error(first), "errors": [events.error(each) for each in refusals]}
    response = ErrorResponse(
        body=orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE),
        status=status or _STATUS.get(first.code, HTTPStatus.BAD_REQUEST),
        content_type="application/json",
        headers={"Cache-Control": "no-store", **_HEADERS.get(first.code, {})},
    )
    response.code = first.code
    return response


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
        if transport is not None and request.writer.output_size:
            # A response has begun: another would be read as a part of it.
            transport.abort()
        failure = Refusal("internal", "the service failed here; it is logged")
        return error_response([failure], HTTPStatus.INTERNAL_SERVER_ERROR)


def _of_http(request: web.Request, error: web.HTTPException) -> Refusal:
    if isinstance(error, web.HTTPNotFound):
        return Refusal(
            "not_found",
            "there is nothing here; the addresses are /v1/sse, /v1/ws, /v1/ndjson, /v1/channels",
            request.path[:160],
        )
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return Refusal("method_not_allowed", f"use {allowed} here", request.method)
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return Refusal("too_large", "the body is over http.body_bytes_max")
    return Refusal("bad_request", (error.text or error.reason)[:160])


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return request.path if resource is None else resource.canonical
