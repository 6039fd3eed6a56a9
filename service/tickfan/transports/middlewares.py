"""What happens to each request before its handler: a turn of its own, and its body in time.

Must not know what is asked.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from tickfan.core.errors import Refusal

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

REQUESTS_A_TURN = 16


def few_a_turn(most: int = REQUESTS_A_TURN) -> Middleware:
    """Begin ``most`` requests in each turn of the loop; more that have come wait.

    A request takes some 150 us, and after a restart hundreds come at once.
    """
    begun = 0

    def next_turn() -> None:
        nonlocal begun
        begun = 0

    @web.middleware
    async def wait(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal begun
        while begun >= most:  # noqa: ASYNC110 - an event would wake all of them at once
            await asyncio.sleep(0)
        if not begun:
            asyncio.get_running_loop().call_soon(next_turn)
        begun += 1
        return await handler(request)

    return wait


def body_within(timeout_s: float) -> Middleware:
    """Read each request's body before its handler, and refuse one that takes longer.

    Or a client that sends a byte and no more would be held for ever, and would
    hold up a stop for all of its grace.
    """

    @web.middleware
    async def read(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.can_read_body:
            try:
                async with asyncio.timeout(timeout_s):
                    await request.read()  # it is kept for the handler
            except TimeoutError:
                raise Refusal(
                    "request_timeout", f"the body was not here after {timeout_s:g} s"
                ) from None
        return await handler(request)

    return read
