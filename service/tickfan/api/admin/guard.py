"""Who may make the calls of an operator, and the audit line of each.

On an address that only this machine reaches, whoever is here may, but no page of another
site. On any other a token is needed. Must not know what a call does.
"""

from __future__ import annotations

import hmac
from ipaddress import ip_address
from typing import TYPE_CHECKING

import structlog
from aiohttp import hdrs, web

from tickfan.api.admin.context import NOTES
from tickfan.core.errors import Refusal
from tickfan.transports.credentials import bearer
from tickfan.transports.remotes import DIRECT

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

audit = structlog.get_logger("tickfan.audit")

PREFIX = "/v1/admin/"
PATH_CHARS_MAX = 160

OWN_PAGES = ("same-origin", "none")
"""``none``: a person has typed the address (Fetch Metadata, section 2.3)."""

NAMES = ("localhost", "")


@web.middleware
async def audited(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Write a line for each call, whatever came of it. It is the outermost middleware."""
    if not request.path.startswith(PREFIX):
        return await handler(request)
    notes = request[NOTES] = {}
    status = None
    try:
        response = await handler(request)
        status = response.status
    finally:
        audit.info(
            "admin call",
            method=request.method,
            path=request.path[:PATH_CHARS_MAX],
            filters={name[:40]: value[:300] for name, value in request.query.items()},
            remote=DIRECT.of(request),
            status=status,  # None: whoever called has gone
            **notes,
        )
    return response


def guarded(token: str, *, is_local: bool) -> Middleware:
    """Let nobody else make the calls of an operator.

    ``token`` empty: there is none. ``is_local``: only this machine reaches the listener.
    """
    needed = token.encode()

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(PREFIX):
            _check(request, needed, is_local=is_local)
        return await handler(request)

    return guard


def _check(request: web.Request, needed: bytes, *, is_local: bool) -> None:
    if needed:
        given = bearer(request)
        if given is None:
            raise Refusal(
                "unauthorized", "send the header Authorization: Bearer <http.admin_token>"
            )
        if not hmac.compare_digest(given.encode(errors="surrogateescape"), needed):
            raise Refusal("bad_token", "the token is not http.admin_token")
    elif not is_local:
        raise Refusal(
            "admin_off",
            "these calls are off: http.admin_host is not this machine alone, so set "
            "http.admin_token (TICKFAN_HTTP__ADMIN_TOKEN)",
        )
    elif not _is_this_machine(request.host):
        # A page may have its own name lead here (DNS rebinding): then it is of the same origin.
        raise Refusal(
            "admin_off", f"{request.host[:80]!r} does not name this machine: use 127.0.0.1"
        )
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get(hdrs.ORIGIN)
    is_own = site in OWN_PAGES if site else origin is None or _host(origin) == request.host.lower()
    if not is_own:
        raise Refusal("admin_off", "these calls are not for the pages of other sites")
    if request.can_read_body and request.content_type != "application/json":
        # What a page may send to any address without asking there first is never JSON.
        raise Refusal("unsupported_media_type", "send JSON, with Content-Type: application/json")


def _host(origin: str) -> str:
    return origin.partition("://")[2].lower()


def _is_this_machine(host: str) -> bool:
    name = host.lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name in NAMES
