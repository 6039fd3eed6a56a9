"""Which address is answered by whom, on each of the two listeners.

Must not know what an answer says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from tickfan.api import channels, health, history, publish, stats, tickets
from tickfan.api.admin.routes import ROUTES
from tickfan.api.page import Page
from tickfan.api.prometheus import metrics
from tickfan.transports.ndjson import ndjson
from tickfan.transports.sse import sse
from tickfan.transports.websocket import websocket

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

CHANNEL = "/v1/channels/{channel:(?!.+/history/?$).+}"
"""A name may hold slashes, and not all of them come as %2F: some proxies decode a path."""


def public_routes() -> list[web.RouteDef]:
    """Those of the public listener."""
    page = Page()
    return [
        web.get("/", page.index),
        web.get("/static/{name}", page.asset),
        *_slash_or_not(
            web.get("/v1/sse", sse),
            web.post("/v1/sse", sse),
            web.get("/v1/ndjson", ndjson),
            web.post("/v1/ndjson", ndjson),
            web.get("/v1/ws", websocket, allow_head=False),
            web.post("/v1/tickets", tickets.make),
            web.delete("/v1/tickets", tickets.drop),
            web.get("/v1/channels", channels.list_channels),
            web.get("/v1/channels/{channel:.+}/history", history.history),
        ),
        web.get(CHANNEL, channels.latest_value),
        web.post(CHANNEL, publish.publish),
    ]


def admin_routes(registry: CollectorRegistry) -> list[web.RouteDef]:
    """Those of the admin listener; ``registry`` has the metrics."""
    return _slash_or_not(
        web.get("/livez", health.livez),
        web.get("/readyz", health.readyz),
        web.get("/metrics", metrics(registry)),
        web.get("/v1/stats", stats.stats),
        *ROUTES,
    )


def _slash_or_not(*routes: web.RouteDef) -> list[web.RouteDef]:
    """Each address as it is, and with a slash behind it: some frameworks and proxies add one.

    Not redirected: behind a proxy that takes a prefix away, nobody here knows where to.
    """
    slashed = [
        web.RouteDef(route.method, f"{route.path}/", route.handler, route.kwargs)
        for route in routes
    ]
    return [*routes, *slashed]
