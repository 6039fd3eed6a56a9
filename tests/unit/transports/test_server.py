"""What aiohttp refuses by itself, through a raw socket."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from aiohttp import web

from service.transports.server import Runner


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"GET /?channels=" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", "POST"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: y\r\n\r\n", "no HTTP"),
    ],
    ids=["a long URL", "a bad header"],
)
async def test_a_request_that_cannot_be_read_gets_json(data: bytes, word: str) -> None:
    """400, a coded error that says what to do, and the connection is closed."""
    runner = Runner(web.Application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection(*runner.addresses[0])
    try:
        writer.write(data)
        answer = await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()
        await runner.cleanup()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 400 " in head.partition(b"\r\n")[0]
    assert b"application/json" in head
    error = orjson.loads(body)["error"]
    assert error["code"] == "bad_request"
    assert word in error["message"]
