"""What the tests of the way in and the way out open, on each kind of wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.raw import TEXT, request, upgrade

if TYPE_CHECKING:
    import asyncio

    from tests.support.live import Live
    from tests.support.raw import Wire

QUERY = "channels=quotes.A,trades.A"
KINDS = {
    "sse": request(f"/v1/sse?{QUERY}"),
    "ndjson": request(f"/v1/ndjson?{QUERY}", version="1.0"),
    "ws.json": upgrade(),
}
SUBSCRIBE = b'{"op":"subscribe","channels":["quotes.A","trades.A"]}'


async def handshake(wire: Wire) -> dict[str, str]:
    """The headers of the answer that lets a WebSocket in."""
    status, headers = await wire.head()
    assert status == 101
    return headers


async def open_stream(wire: Wire, kind: str) -> bytes:
    """Read a stream up to its snapshot_end; what came behind the headers."""
    if kind == "ws.json":
        await wire.head()
        wire.send_frame(TEXT, SUBSCRIBE)
    return await wire.up_to(b"snapshot_end")


def transports(live: Live) -> list[asyncio.Transport]:
    """The transports of the server's side."""
    runner = live.client.server.runner
    assert runner is not None
    assert runner.server is not None
    return [each.transport for each in runner.server.connections if each.transport is not None]
