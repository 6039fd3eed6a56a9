"""The running service as fixtures; a conftest.py imports them.

Must not know what is tested.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.support.live import PARTS, Live, live

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.support.live import MakeClient
    from tickfan.parts import Parts

    MakeLive = Callable[..., Awaitable[Live]]


@pytest.fixture
async def make_live(aiohttp_client: MakeClient) -> AsyncIterator[MakeLive]:
    """Starts services with settings such as ``STREAM__HEARTBEAT_S="1"``."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(*, parts: Parts = PARTS, **settings: str) -> Live:
            return await stack.enter_async_context(live(aiohttp_client, settings, parts))

        yield start


@pytest.fixture
async def service(make_live: MakeLive) -> Live:
    """A service with the default settings, without a market."""
    return await make_live()
