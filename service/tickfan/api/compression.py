"""Compresses answers of REST and the page's files, for clients that take it.

Streams are not compressed: each client would need a compressor of its own, and no two
could share their bytes. Must not know what is in an answer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

COMPRESS_BYTES = 1024
"""An answer from this size on is compressed: a packet holds about as much.

aiohttp does it in a thread from 4 KiB on."""

_REFUSED = re.compile(r"\s*q=0(\.0*)?\s*", re.IGNORECASE)


@web.middleware
async def compressed(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Compress by gzip, which each client of the last decades takes; tell caches (``Vary``)."""
    response = await handler(request)
    body = response.body if isinstance(response, web.Response) else None
    if isinstance(body, bytes) and len(body) >= COMPRESS_BYTES:
        response.headers.setdefault(hdrs.VARY, hdrs.ACCEPT_ENCODING)
        if takes_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
            response.enable_compression(web.ContentCoding.gzip)
    return response


def takes_gzip(accept_encoding: str) -> bool:
    """Whether a client names gzip, and not with ``q=0`` (RFC 9110, 12.5.3)."""
    for part in accept_encoding.split(","):
        coding, _, weight = part.partition(";")
        if coding.strip().lower() == "gzip":
            return _REFUSED.fullmatch(weight) is None
    return False
