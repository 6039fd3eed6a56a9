"""tickfan.transports.middlewares"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from tests.support.raw import connect, request
from tickfan.transports.middlewares import few_a_turn

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive


@pytest.mark.parametrize("path", ["/v1/sse", "/v1/ndjson", "/v1/channels/quotes.A"])
async def test_a_body_that_does_not_come_is_refused(make_live: MakeLive, path: str) -> None:
    """The client is told, and let go: it would hold a place, and a stop, for ever."""
    service = await make_live(HTTP__HEADER_TIMEOUT_S="1")
    head = request(path, method="POST", Content_Type="application/json", Content_Length="100")
    async with connect(service, head + b"{") as wire:
        status, headers = await wire.head()
        assert status == 408
        assert headers["connection"].lower() == "close"
        assert b"request_timeout" in await wire.up_to(b"}")


async def test_a_few_requests_begin_in_a_turn() -> None:
    """Of a hundred that come at once, none is lost and none comes out of turn."""
    loop = asyncio.get_running_loop()
    turn = 0
    began: list[tuple[int, int]] = []

    def count() -> None:
        nonlocal turn
        turn += 1
        if turn < 100:
            loop.call_soon(count)

    async def handler(request: web.Request) -> web.Response:
        began.append((turn, int(request.path[1:])))
        return web.Response()

    middleware = few_a_turn(8)
    requests = [make_mocked_request("GET", f"/{number}", loop=loop) for number in range(100)]
    count()
    await asyncio.gather(*(middleware(request, handler) for request in requests))
    turns = [when for when, _ in began]
    assert max(turns.count(when) for when in turns) == 8
    assert [number for _, number in began] == list(range(100))
