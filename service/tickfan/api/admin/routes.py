"""The addresses of an operator's calls. Must not know what a call does."""

from __future__ import annotations

from aiohttp import web

from tickfan.api.admin import connections, draining, revocations

ROUTES = (
    web.get("/v1/admin/revocations", revocations.list_revocations),
    web.post("/v1/admin/revocations", revocations.revoke),
    web.get("/v1/admin/connections", connections.list_connections),
    web.delete("/v1/admin/connections", connections.end_connections),
    web.get("/v1/admin/connections/{id}", connections.show_connection),
    web.delete("/v1/admin/connections/{id}", connections.end_connection),
    web.post("/v1/admin/drain", draining.drain),
    web.delete("/v1/admin/drain", draining.take_back),
)
