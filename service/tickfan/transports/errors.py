"""Refusals as HTTP answers: always a JSON body, always a proper status.

Must not know who refuses.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from tickfan.transports.headers import add_headers
from tickfan.wire import events

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickfan.core.errors import Refusal

_STATUS = {
    "address_limit": HTTPStatus.SERVICE_UNAVAILABLE,
    "admin_off": HTTPStatus.FORBIDDEN,
    "bad_ticket": HTTPStatus.UNAUTHORIZED,
    "bad_token": HTTPStatus.UNAUTHORIZED,
    "broker_blocked": HTTPStatus.SERVICE_UNAVAILABLE,
    "broker_down": HTTPStatus.SERVICE_UNAVAILABLE,
    "drain": HTTPStatus.SERVICE_UNAVAILABLE,
    "expired": HTTPStatus.UNAUTHORIZED,
    "forbidden": HTTPStatus.FORBIDDEN,
    "headers_too_large": HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "no_connection": HTTPStatus.NOT_FOUND,
    "no_feed": HTTPStatus.NOT_FOUND,
    "no_value": HTTPStatus.NOT_FOUND,
    "rate_limited": HTTPStatus.TOO_MANY_REQUESTS,
    "request_timeout": HTTPStatus.REQUEST_TIMEOUT,
    "overload": HTTPStatus.SERVICE_UNAVAILABLE,
    "origin_forbidden": HTTPStatus.FORBIDDEN,
    "publish_failed": HTTPStatus.BAD_GATEWAY,
    "publish_forbidden": HTTPStatus.FORBIDDEN,
    "publish_off": HTTPStatus.FORBIDDEN,
    "publish_unauthorized": HTTPStatus.UNAUTHORIZED,
    "not_lossless": HTTPStatus.CONFLICT,
    "starting": HTTPStatus.SERVICE_UNAVAILABLE,
    "throttled": HTTPStatus.SERVICE_UNAVAILABLE,
    "tickets_off": HTTPStatus.FORBIDDEN,
    "too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "too_many_revocations": HTTPStatus.CONFLICT,
    "unauthorized": HTTPStatus.UNAUTHORIZED,
    "unconfirmed": HTTPStatus.GATEWAY_TIMEOUT,
    "unroutable": HTTPStatus.BAD_GATEWAY,
    "unsupported_media_type": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "upgrade_required": HTTPStatus.UPGRADE_REQUIRED,
}
_INVALID = {"WWW-Authenticate": 'Bearer realm="tickfan", error="invalid_token"'}
_INSUFFICIENT = {"WWW-Authenticate": 'Bearer realm="tickfan", error="insufficient_scope"'}
_NONE = {"WWW-Authenticate": 'Bearer realm="tickfan"'}
# What RFC 9110 (11.6.1, 15.5.9 and 15.5.22), RFC 6750 (section 3) and RFC 6455 (4.4) demand
# beside a status.
_HEADERS = {
    "bad_ticket": _INVALID,
    "bad_token": _INVALID,
    "expired": _INVALID,
    "forbidden": _INSUFFICIENT,
    "publish_forbidden": _INSUFFICIENT,
    "publish_unauthorized": _NONE,
    "request_timeout": {"Connection": "close"},
    "unauthorized": _NONE,
    "upgrade_required": {
        "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
    },
}  # fmt: skip


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


def bare_answer(refusal: Refusal, *, retry_after_s: int | None = None) -> bytes:
    """The bytes of an answer where there is no request to answer; the connection ends with it."""
    response = error_response([refusal])
    add_headers(response)
    body = response.body
    assert isinstance(body, bytes)
    response.headers.update({"Connection": "close", "Content-Length": str(len(body))})
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(retry_after_s)
    lines = [f"HTTP/1.1 {response.status} {response.reason}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
