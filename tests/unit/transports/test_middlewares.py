"""tickfan.transports.middlewares: a turn of its own for each request."""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from tickfan.transports.middlewares import BEGINNING_S, few_a_turn


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

    middleware = few_a_turn(lambda: 0.0, 8)
    requests = [make_mocked_request("GET", f"/{number}", loop=loop) for number in range(100)]
    count()
    await asyncio.gather(*(middleware(request, handler) for request in requests))
    turns = [when for when, _ in began]
    assert max(turns.count(when) for when in turns) == 8
    assert [number for _, number in began] == list(range(100))


async def test_long_requests_leave_the_others_to_the_next_turn() -> None:
    """Sixteen values of a megabyte in one turn would hold the loop."""
    loop = asyncio.get_running_loop()
    now, turn = 0.0, 0
    turns: list[int] = []

    def count() -> None:
        nonlocal turn
        turn += 1
        if turn < 100:
            loop.call_soon(count)

    async def handler(_request: web.Request) -> web.Response:
        nonlocal now
        now += BEGINNING_S * 0.6
        turns.append(turn)
        return web.Response()

    middleware = few_a_turn(lambda: now)
    count()
    await asyncio.gather(
        *(middleware(make_mocked_request("GET", "/", loop=loop), handler) for _ in range(20))
    )
    assert {turns.count(when) for when in turns} == {2}
