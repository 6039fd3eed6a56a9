"""The limits at the door, before any request: raw sockets, and a healthy client beside them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import socket
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from loadtest.rig.process import ServiceProcess
from loadtest.rig.waiting import DEADLINE_S, until
from tests.support.raw import request
from tickfan.core.tally import Tally
from tickfan.transports.addresses import Addresses, Shares
from tickfan.transports.door import ACCEPTS_A_TURN, LINGERING_MAX, Limiter, listen
from tickfan.transports.refused import Refused
from tickfan.transports.server import Runner, Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

NOFILE = 200
SHARE = 20
STREAMS = 3
PROXY = "127.0.9.9"
SETTINGS = {
    "LOG__FORMAT": "json",
    "HTTP__SOCKETS_PER_ADDRESS_MAX": str(SHARE),
    "STREAM__CONNECTIONS_PER_ADDRESS_MAX": str(STREAMS),
    "HTTP__TRUSTED_PROXIES": '["127.0.9.0/24"]',
    "STOP__DRAIN_S": "0",
}
UPDATES = 50
PROBES = 77


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """One service with few open files, for all tests here; each leaves no socket behind."""
    limited = ("/bin/sh", "-c", f'ulimit -n {NOFILE}; exec "$@"', "-")
    runs = (*limited, sys.executable, "-m", "tickfan", "serve")
    process = ServiceProcess(_made(tmp_path_factory), SETTINGS, runs)
    process.start()
    yield process
    assert process.stop() == 0
    assert "Traceback" not in process.output


def _made(factory: pytest.TempPathFactory) -> Path:
    return factory.mktemp("door")


class Sockets(contextlib.AsyncExitStack):
    """Sockets from any address of this machine, closed in the end."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port

    async def connect(
        self, address: str, data: bytes = b""
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect from an address, and send something."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, local_addr=(address, 0)
        )
        self.callback(writer.close)
        writer.write(data)
        return reader, writer


@pytest.fixture
async def sockets(served: ServiceProcess) -> AsyncIterator[Sockets]:
    """Opens sockets; when they are closed the service has none left."""
    async with Sockets(served.port) as opened:
        yield opened
    await until(lambda: _metric(served, "tickfan_sockets") == 0)


def _metric(served: ServiceProcess, name: str) -> float:
    """A value of /metrics, which needs a file of the admin port."""
    url = f"http://127.0.0.1:{served.admin_port}/metrics"
    with urllib.request.urlopen(url, timeout=DEADLINE_S) as answer:
        lines = answer.read().decode().splitlines()
    [value] = [line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")]
    return float(value)


def _refused(served: ServiceProcess, reason: str) -> float:
    return _metric(served, f'tickfan_sockets_refused_total{{reason="{reason}"}}')


async def _told(reader: asyncio.StreamReader) -> tuple[bytes, dict[str, Any]]:
    """The head of an answer that was not asked for, and its error."""
    answer = await asyncio.wait_for(reader.read(), DEADLINE_S)
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, json.loads(body)["error"]


async def test_idle_sockets_take_no_file_of_the_admin_port(
    served: ServiceProcess, sockets: Sockets
) -> None:
    """300 of them at 200 files: each probe is answered, and who was there misses nothing."""
    before = _refused(served, "overload")
    away = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
    async with aiohttp.ClientSession(served.url, connector=away) as http:
        healthy = await http.get("/v1/sse?channels=trades.A")
        await _line_with(healthy, b"snapshot_end")

        async def publish(number: int) -> None:
            async with http.post("/v1/channels/trades.A", json=number) as answer:
                assert answer.status == 201, await answer.text()

        await publish(0)
        await asyncio.gather(
            *(sockets.connect(f"127.0.1.{number // 15 + 1}") for number in range(300))
        )
        probe = f"http://127.0.0.1:{served.admin_port}/livez"
        for number in range(1, UPDATES):
            await publish(number)
        for _ in range(PROBES):
            once = aiohttp.TCPConnector(force_close=True)
            async with aiohttp.ClientSession(connector=once) as prober, prober.get(probe) as answer:
                assert answer.status == 200
        seen = [json.loads((await _line_with(healthy, b'"trades.A"'))[6:]) for _ in range(UPDATES)]
        assert [update["data"] for update in seen] == list(range(UPDATES))
        # Half of the files, see raise_file_limit; one is the stream, one publishes.
        assert _metric(served, "tickfan_sockets") == NOFILE // 2
        assert _refused(served, "overload") - before == 300 + 2 - NOFILE // 2
        healthy.close()
    [line] = [line for line in _log(served) if line["event"].startswith("the limit of open")]
    assert (line["sockets_max"], line["connections_max"]) == (100, 91)
    assert line["hint"] == "ulimit -n 22100"
    told = [line for line in _log(served) if line.get("reason") == "overload"]
    assert 0 < len(told) <= 20, "each address once, for 202 refusals"
    assert told[0]["sockets_max"] == 100


async def _line_with(response: aiohttp.ClientResponse, mark: bytes) -> bytes:
    while mark not in (line := await asyncio.wait_for(response.content.readline(), DEADLINE_S)):
        assert line, "the stream has ended"
    return line


def _log(served: ServiceProcess) -> list[dict[str, Any]]:
    return [json.loads(line) for line in served.output.splitlines()]


async def test_one_address_has_its_share_and_another_its_own(
    served: ServiceProcess, sockets: Sockets
) -> None:
    """Who is over it is told so without a request, in JSON, and logged with its address."""
    before = _refused(served, "address_limit")
    for _ in range(SHARE):
        await sockets.connect("127.0.0.1")
    reader, _ = await sockets.connect("127.0.0.1", request("/v1/sse?channels=quotes.A"))
    head, error = await _told(reader)
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nRetry-After: 5" in head
    assert b"\r\nContent-Type: application/json" in head
    assert error["code"] == "address_limit"
    reader, _ = await sockets.connect("127.0.0.2", request("/v1/channels", Connection="close"))
    assert (await asyncio.wait_for(reader.read(), DEADLINE_S)).startswith(b"HTTP/1.1 200 ")
    assert _refused(served, "address_limit") - before == 1
    [line] = [line for line in _log(served) if line.get("reason") == "address_limit"]
    assert (line["event"], line["remote"]) == ("socket refused", "127.0.0.1")
    assert line["sockets_per_address_max"] == SHARE


async def test_a_flood_is_closed_without_a_word(served: ServiceProcess, sockets: Sockets) -> None:
    """Few are told why at the same time, so that they take no files; a telling has an end."""
    for _ in range(SHARE):
        await sockets.connect("127.0.0.3")
    more = [await sockets.connect("127.0.0.3") for _ in range(4 * LINGERING_MAX)]
    answers = []
    for reader, _ in more:
        with contextlib.suppress(ConnectionError):
            answers.append(await asyncio.wait_for(reader.read(), DEADLINE_S))
    told = [answer for answer in answers if b'"address_limit"' in answer]
    assert 0 < len(told) < len(more)
    assert _metric(served, "tickfan_sockets") == SHARE


async def test_a_trusted_proxy_has_no_share_and_its_clients_have(
    served: ServiceProcess, sockets: Sockets
) -> None:
    """Sockets of the proxy are not counted for it; streams are, for the client that it names."""

    def stream(client: str) -> bytes:
        return request("/v1/sse?channels=quotes.A", X_Forwarded_For=f"192.0.2.66, {client}")

    for _ in range(2 * SHARE):
        await sockets.connect(PROXY)
    for _ in range(STREAMS):
        reader, _ = await sockets.connect(PROXY, stream("192.0.2.1"))
        await asyncio.wait_for(reader.readuntil(b"snapshot_end"), DEADLINE_S)
    reader, _ = await sockets.connect(PROXY, stream("192.0.2.1"))
    answer = await asyncio.wait_for(reader.read(), DEADLINE_S)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"reason":"throttled","code":4010' in answer
    reader, _ = await sockets.connect(PROXY, stream("192.0.2.2"))
    await asyncio.wait_for(reader.readuntil(b"snapshot_end"), DEADLINE_S)
    # Who is no proxy cannot name anybody: it is over its own share.
    for _ in range(STREAMS):
        reader, _ = await sockets.connect("127.0.0.5", stream("192.0.2.3"))
        await asyncio.wait_for(reader.readuntil(b"snapshot_end"), DEADLINE_S)
    reader, _ = await sockets.connect("127.0.0.5", stream("192.0.2.4"))
    assert b'"throttled"' in await asyncio.wait_for(reader.read(), DEADLINE_S)


async def test_no_file_is_said_once_and_waits(served: ServiceProcess, sockets: Sockets) -> None:
    """accept() finds no file: no spin, one line that names it, and who waits comes in later."""
    assert served.process is not None
    pid = served.process.pid
    before = _refused(served, "no_files")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (5, NOFILE))
    try:
        reader, _ = await sockets.connect("127.0.0.6", request("/v1/channels", Connection="close"))
        waits = asyncio.ensure_future(reader.read())
        said = "no file for a connection"
        await until(lambda: any(line["event"].startswith(said) for line in _log(served)))
        # Its next try finds none either.
        assert await asyncio.wait({waits}, timeout=1.5) == (set(), {waits})
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (NOFILE, NOFILE))
    await until(lambda: _refused(served, "no_files") - before >= 2)
    assert _refused(served, "no_files") - before < 2 * DEADLINE_S, "it waits, and does not spin"
    [line] = [line for line in _log(served) if line["event"].startswith(said)]
    assert (line["level"], line["port"]) == ("error", served.port)
    assert "ulimit" in line["hint"]
    assert (await asyncio.wait_for(waits, DEADLINE_S)).startswith(b"HTTP/1.1 200 ")


async def test_few_are_taken_in_a_turn_of_the_loop() -> None:
    """However many wait: what else is due has its turn between them, and no file is taken."""
    loop = asyncio.get_running_loop()
    shares = Shares(1000, 0, 0, 0, 0, 0, 0)
    addresses = Addresses(shares, lambda _: False, loop.time)
    limiter = Limiter(addresses, Refused(loop.time), Tally())
    runner = Runner(web.Application(), header_timeout_s=DEADLINE_S, access_log=None)
    await runner.setup()
    await Site(runner, listen("127.0.0.1", 0, backlog=100, reuse_port=False), limiter).start()
    waiting = 3 * ACCEPTS_A_TURN
    clients = [socket.create_connection(runner.addresses[0]) for _ in range(waiting)]
    turns = []
    while addresses.sockets < waiting:
        before = addresses.sockets
        await asyncio.sleep(0)
        turns.append(addresses.sockets - before)
    assert 0 < max(turns) <= ACCEPTS_A_TURN
    for each in clients:
        each.close()
    await until(lambda: not addresses.sockets)
    await runner.cleanup()


def test_listeners_of_one_name_share_the_port() -> None:
    """With port 0 too; a port that is taken is an error, and leaves nothing open."""
    sockets = listen("localhost", 0, backlog=5, reuse_port=False)
    try:
        [port] = {sock.getsockname()[1] for sock in sockets}
        with pytest.raises(OSError, match="in use"):
            listen("127.0.0.1", port, backlog=5, reuse_port=False)
        assert all(not sock.getblocking() for sock in sockets)
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S):
            pass
    finally:
        for sock in sockets:
            sock.close()
