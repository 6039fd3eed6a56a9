"""``/v1/admin/drain``: empty this replica, and let it go on.

Must not know how clients are told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickfan.api.admin.context import ADMIN, NOTES
from tickfan.api.context import json_response
from tickfan.core.errors import Refusal
from tickfan.transports.parameters import check_query

if TYPE_CHECKING:
    from aiohttp import web


async def drain(request: web.Request) -> web.Response:
    """Do what SIGTERM does, but stay: not ready, nobody comes in, clients are told to go."""
    admin = request.app[ADMIN]
    check_query(request)
    request[NOTES]["count"] = len(admin.connections)
    admin.draining.begin()
    return json_response({"draining": True, "connections": len(admin.connections)}, 202)


async def take_back(request: web.Request) -> web.Response:
    """Be ready again, and let clients come in; who was told to go has gone."""
    admin = request.app[ADMIN]
    check_query(request)
    request[NOTES]["count"] = len(admin.connections)
    if not admin.draining.take_back():
        raise Refusal("drain", "the process is stopping: that cannot be taken back")
    return json_response({"draining": False, "connections": len(admin.connections)})
