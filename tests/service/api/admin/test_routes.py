"""Where the calls of an operator are answered, and where not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.access import GUARDED
from tickfan.api.admin.routes import ROUTES

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive


async def test_they_are_on_the_admin_port_alone(make_live: MakeLive) -> None:
    """Each with its method, and with a slash behind it, too; a wrong address says so."""
    service = await make_live(**GUARDED)
    for route in ROUTES:
        for slash in ("", "/"):
            path = route.path.replace("{id}", "none-1") + slash
            answer = await service.admin.request(route.method, path)
            assert answer.content_type == "application/json"
            assert answer.status != 405
            if answer.status == 404:
                assert (await answer.json())["error"]["code"] == "no_connection"
            public = await service.client.request(route.method, path)
            assert public.status == 404
    assert (await service.admin.get("/v1/admin/none")).status == 404
    assert (await service.admin.put("/v1/admin/drain")).status == 405
