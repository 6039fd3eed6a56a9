"""Which pages may ask, by the Origin that a browser sends, and what their browsers are told.

A page may ask the service that it came from, and each service that lists the page's origin.
A WebSocket is open to any page unless the server looks (RFC 6455, section 10.2), and a
cookie goes along with any page's request. All else the browser itself withholds from a page
of another origin, unless our headers allow it (CORS: Fetch, section 3.3). Must not know
who asks, nor for what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from tickfan.core.errors import Refusal
from tickfan.core.origin import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp.typedefs import Handler

    from tickfan.transports.remotes import Remotes

_SCHEMES = {"http": "http", "ws": "http", "https": "https", "wss": "https"}
"""What proxies write, Traefik also of a WebSocket, and the scheme of the page's origin."""

SAME_ORIGIN = "same-origin"

_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Last-Event-ID",
    # The longest that Chromium keeps an answer, 2 h. A page that is taken from the list is
    # refused at once all the same: what it asked for comes without the header.
    "Access-Control-Max-Age": "7200",
    "Vary": "Access-Control-Request-Method, Access-Control-Request-Headers",
}
_READABLE = "Retry-After, WWW-Authenticate"
"""The headers that a page may read, beside those that each page may (Fetch, 2.2.2)."""


class Origins:
    """The rule, for all that is asked of the public listener."""

    def __init__(self, allowed: Iterable[str], remotes: Remotes) -> None:
        """``allowed`` as in ``http.allowed_origins``; ``remotes`` says whom to believe."""
        self._allowed = frozenset(map(plain, allowed))
        self._remotes = remotes

    def check(self, request: web.Request) -> None:
        """Raise :class:`Refusal` (``origin_forbidden``) for a page that may not ask.

        A request without an Origin is no page's, and passes.
        """
        origin = _origin(request)
        if origin is None or plain(origin) in self._allowed:
            return
        # The browser's own word. No page can write it, and it holds behind each proxy.
        if request.headers.get("Sec-Fetch-Site") == SAME_ORIGIN:
            return
        own = self._own(request, origin)
        if plain(origin) != own:
            raise Refusal(
                "origin_forbidden",
                f"a page of {origin[:80]!r} may not ask here: this address is {own[:80]!r}, and "
                "http.allowed_origins (TICKFAN_HTTP__ALLOWED_ORIGINS) does not list the page's",
                "Origin",
            )

    def is_secure(self, request: web.Request) -> bool:
        """Whether the browser asks by HTTPS, as the connection or a trusted proxy says."""
        return self._addressed(request)[0] == "https"

    def _own(self, request: web.Request, origin: str) -> str:
        """The origin of the service as the browser addressed it.

        Where nobody knows the scheme, it is taken from ``origin``. Then only the host and the
        port are compared.
        """
        scheme, host = self._addressed(request)
        return plain(f"{scheme or origin.partition('://')[0]}://{host}")

    def _addressed(self, request: web.Request) -> tuple[str, str]:
        """The scheme (empty: nobody knows it) and the host, as the browser addressed the service.

        What a proxy has written counts if the proxy is trusted, and of a list its first: no
        page can set these headers without a preflight, and the first proxy saw the browser.
        """
        headers = request.headers
        host = headers.get("Host", "")
        scheme = "https" if request.secure else ""
        if self._remotes.has_sent(request):
            behind = next(iter(request.forwarded), {})
            host = _first(headers.get("X-Forwarded-Host")) or behind.get("host") or host
            said = _first(headers.get("X-Forwarded-Proto")) or behind.get("proto") or ""
            scheme = _SCHEMES.get(said.lower(), "")
            port = _first(headers.get("X-Forwarded-Port"))
            if port and ":" not in host.rpartition("]")[2]:
                host = f"{host}:{port}"
        return scheme, host

    def is_from(self, request: web.Request, origin: str) -> bool:
        """Whether a page of that origin asks.

        A browser says no Origin where a page reads from its own address (Fetch, section 3.2).
        """
        given = page_of(request)
        if given:
            return given == origin
        site = request.headers.get("Sec-Fetch-Site")
        return plain(origin) == self._own(request, origin) if site is None else site == SAME_ORIGIN

    def is_elsewhere(self, request: web.Request) -> bool:
        """Whether a page of another site asks, as its browser says or by the two addresses."""
        site = request.headers.get("Sec-Fetch-Site")
        if site is not None:
            return site == "cross-site"
        origin = page_of(request)
        return bool(origin) and origin != self._own(request, origin)

    @web.middleware
    async def preflight(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a browser that asks before it asks (a middleware). Raises :class:`Refusal`."""
        is_preflight = (
            request.method == "OPTIONS"
            and "Origin" in request.headers
            and "Access-Control-Request-Method" in request.headers
        )
        if not is_preflight:
            return await handler(request)
        self.check(request)
        return web.Response(status=204, headers=_PREFLIGHT)

    async def on_response_prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        """Tell the browser of a listed page that the page may read the answer (a signal)."""
        if not self._allowed:
            return
        headers = response.headers
        # A cache must not give the answer for one page to another.
        headers["Vary"] = ", ".join([*headers.popall("Vary", ()), "Origin"])
        origin = _origin(request)
        if origin is not None and plain(origin) in self._allowed:
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Allow-Credentials"] = "true"
            headers["Access-Control-Expose-Headers"] = _READABLE


ORIGINS = web.AppKey("origins", Origins)


def check_origin(request: web.Request) -> None:
    """Raise :class:`Refusal` (``origin_forbidden``) for a request of a page that may not ask.

    For each request that does something, or shows something, without a token that the page
    itself must know: a WebSocket, one that a cookie authenticates, one that needs no token.
    """
    request.app[ORIGINS].check(request)


def page_of(request: web.Request) -> str:
    """The origin that a request names, in its one form; empty: it names none."""
    return plain(_origin(request) or "")


def _origin(request: web.Request) -> str | None:
    """What came as Origin, or None. Several are no origin of any list."""
    lines = request.headers.getall("Origin", None)
    return None if lines is None else ", ".join(lines)


def _first(value: str | None) -> str:
    return (value or "").partition(",")[0].strip()
