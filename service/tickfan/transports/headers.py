"""The headers that each answer has: what a browser may do with it, and no version.

Must not know what is answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

HEADERS = {
    # No version: it would say which known faults are worth a try (aiohttp's default has two).
    "Server": "tickfan",
    # An answer is what its Content-Type says, also if a publisher's text looks like HTML.
    "X-Content-Type-Options": "nosniff",
    # Data are shown as text by whoever opens them: nothing in them is loaded or run.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    # A query may hold a cursor and names of channels. They are nobody else's business.
    "Referrer-Policy": "no-referrer",
    # No page elsewhere takes an answer as its script or image. This does not concern pages of
    # http.allowed_origins: they ask by CORS, where the header is not looked at (Fetch, 3.7).
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""What an answer has that says nothing else itself."""


async def on_response_prepare(_request: web.Request, response: web.StreamResponse) -> None:
    """Add them; a handler of aiohttp's signal, so the 101 of a WebSocket has them, too."""
    add_headers(response)


def add_headers(response: web.StreamResponse) -> None:
    """Add them where the answer does not say another thing."""
    headers = response.headers
    headers.pop("Server", None)  # aiohttp has set its own by now
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
