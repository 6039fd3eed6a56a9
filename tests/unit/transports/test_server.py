"""What aiohttp refuses by itself, and what it hands over, through a raw socket."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import orjson
import pytest
from aiohttp import web

from tests.support.live import until
from tests.support.raw import connect, request, upgrade
from tickfan.transports.server import Runner

if TYPE_CHECKING:
    from tests.support.live import Live

SUBSCRIBE = b'{"op":"subscribe","channels":["quotes.A"]}'
KINDS = {
    "sse": request("/v1/sse?channels=quotes.A"),
    "ndjson": request("/v1/ndjson?channels=quotes.A"),
    # The command comes with the handshake, although a client should wait.
    "ws": upgrade() + bytes((0x81, 0x80 | len(SUBSCRIBE))) + bytes(4) + SUBSCRIBE,
}


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


def held() -> Counter[str]:
    """What there is of aiohttp, of tasks and of timers."""
    found: Counter[str] = Counter(tasks=len(asyncio.all_tasks()))
    scheduled = getattr(asyncio.get_running_loop(), "_scheduled", ())
    found["timers"] = sum(not handle.cancelled() for handle in scheduled)
    names = (str(type(each)) for each in gc.get_objects())
    found.update(name for name in names if "aiohttp" in name or "multidict" in name)
    return found


@pytest.mark.parametrize("kind", KINDS)
async def test_an_idle_connection_holds_nothing_of_aiohttp(service: Live, kind: str) -> None:
    """No task, no timer, no request with its headers: only the transport and our few objects."""
    async with contextlib.AsyncExitStack() as stack:

        async def come() -> None:
            wire = await stack.enter_async_context(connect(service, KINDS[kind]))
            await wire.up_to(b"snapshot_end")

        await come()  # what is made once is there
        gc.collect()
        before = held()
        for _ in range(20):
            await come()
        await until(lambda: len(asyncio.all_tasks()) <= before["tasks"])
        gc.collect()
        more = {name: count for name, count in (held() - before).items() if count >= 20}
        assert more == {}
        assert service.client.server.runner is not None
        assert service.client.server.runner.server is not None
        assert len(service.client.server.runner.server.connections) >= 21


@pytest.mark.parametrize("kind", ["sse", "ndjson"])
async def test_who_goes_is_noticed_whatever_was_sent_behind(service: Live, kind: str) -> None:
    """aiohttp stops to read after some requests that wait; who takes over goes on."""
    async with connect(service, KINDS[kind] + request("/v1/channels") * 200) as wire:
        await wire.up_to(b"snapshot_end")
        assert service.service.connected == 1
    await until(lambda: not service.service.connected)
    assert service.service.tally.closes == {(kind, "left"): 1}


async def test_a_taker_that_fails_leaves_no_connection(
    service: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection is aiohttp's, or somebody's, or closed."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(service.service.admission, "tune", fail)
    async with connect(service, upgrade()) as wire:
        await wire.head()
        assert await wire.rest() == b""


async def test_who_goes_before_it_is_told_to_continue_is_no_error(
    service: Live, caplog: pytest.LogCaptureFixture
) -> None:
    """Anybody can do that, as often as they like: no stack trace for each."""
    asks = request(
        "/v1/sse", method="POST", Expect="100-continue", Content_Length="2", Connection="close"
    )
    for _ in range(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", service.client.port)
        writer.write(asks)
        writer.write_eof()  # it is here when the answer is written
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
    runner = service.client.server.runner
    assert runner is not None
    assert runner.server is not None
    connections = partial(getattr, runner.server, "connections")
    await until(lambda: not connections())
    assert caplog.records == []
