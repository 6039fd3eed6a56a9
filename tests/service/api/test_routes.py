"""Each address of the two listeners, with a slash behind it and without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.live import Live


@pytest.mark.parametrize("path", ["/v1/channels", "/v1/channels/", "/"])
async def test_a_slash_behind_an_address_makes_no_difference(service: Live, path: str) -> None:
    """Some frameworks and proxies add one."""
    async with service.session.get(service.url(path)) as response:
        assert response.status == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz/", "/metrics", "/v1/stats/"])
async def test_the_admin_listener_has_its_own(service: Live, path: str) -> None:
    """None of them is public."""
    async with service.admin.get(path) as response:
        assert response.status == 200
    async with service.session.get(service.url(path)) as response:
        assert response.status == 404
