"""What each answer has, also where no handler of ours is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.raw import connect, request, upgrade
from tickfan.transports.headers import HEADERS

if TYPE_CHECKING:
    from tests.support.live import Live

STREAM = "/v1/sse?channels=quotes.A"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request("/v1/channels"), 200),
        (request(STREAM), 200),
        (request(STREAM, method="HEAD"), 200),
        (request("/v1/ndjson?channels=quotes.A", version="1.0"), 200),
        (upgrade(), 101),
        (request("/nowhere"), 404),
        (request("/v1/ws", method="POST"), 405),
        (request("/v1/channels", Expect="a miracle"), 417),
        (request("/v1/ws"), 426),
        (b"no HTTP at all\r\n\r\n", 400),
        (request("/" + "x" * 9000), 400),
        (request("/v1/channels", Content_Length="-1"), 400),
    ],
)
async def test_each_answer_has_them_and_no_version(service: Live, sent: bytes, status: int) -> None:
    """Those of aiohttp itself, too."""
    async with connect(service, sent) as wire:
        found, headers = await wire.head()
    assert found == status
    assert {name: headers[name.lower()] for name in HEADERS} == HEADERS
    assert headers["server"] == "tickfan"


async def test_those_of_the_admin_port_too(service: Live) -> None:
    """Health and metrics."""
    assert service.admin.port is not None
    for path in ("/livez", "/metrics", "/nowhere"):
        async with connect(service.admin.port, request(path)) as wire:
            _, headers = await wire.head()
        assert {name: headers[name.lower()] for name in HEADERS} == HEADERS
