"""An application listens through our door."""

from __future__ import annotations

from aiohttp import web

from tests.support.raw import connect, request
from tickfan.transports.door import listen
from tickfan.transports.server import Runner
from tickfan.transports.site import Site


async def test_it_has_an_address_and_answers() -> None:
    """Until the runner ends it."""
    app = web.Application()
    runner = Runner(app, header_timeout_s=5, access_log=None)
    await runner.setup()
    site = Site(runner, listen("127.0.0.1", 0, backlog=5, reuse_port=False), None)
    await site.start()
    try:
        port = runner.addresses[0][1]
        assert site.name == f"http://127.0.0.1:{port}"
        async with connect(port, request("/")) as wire:
            assert (await wire.head())[0] == 404
    finally:
        await runner.cleanup()
    assert not site.sockets or not runner.addresses
