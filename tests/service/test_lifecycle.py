"""How the process starts, is told to stop, and goes: as a process, by its signals."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from loadtest.rig.process import ServiceProcess
from loadtest.rig.waiting import DEADLINE_S, until
from tests.support.raw import CLOSE, connect, request, upgrade
from tests.support.tls import trusting
from tickfan.lifecycle import Stop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.support.tls import Certificates

    MakeProcess = Callable[..., Awaitable[ServiceProcess]]

TRACES = ("Traceback", "was destroyed", "never retrieved", "Unclosed", "Exception", "Error ")
# Fewer connections than any machine's limit of open files: no line about that.
QUIET = {"LOG__FORMAT": "json", "STREAM__CONNECTIONS_MAX": "100"}
SSE = request("/v1/sse?channels=quotes.A&_token=hush")


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[MakeProcess]:
    """Starts ``serve`` as a process; its end leaves no trace in the output."""
    started: list[ServiceProcess] = []

    async def make(**settings: str) -> ServiceProcess:
        process = ServiceProcess(tmp_path, {**QUIET, **settings})
        started.append(process)
        return await asyncio.to_thread(process.start)

    yield make
    for process in started:
        process.kill()
        assert not [trace for trace in TRACES if trace in process.output], process.output


# What would hold the exit takes longer than a test waits for it.
LONG_S = str(int(10 * DEADLINE_S))


def tell(service: ServiceProcess, number: signal.Signals = signal.SIGTERM) -> float:
    """Send a signal; returns the time."""
    assert service.process is not None
    service.process.send_signal(number)
    return time.monotonic()


async def ended(service: ServiceProcess) -> int:
    """Wait for the exit status."""
    assert service.process is not None
    return await asyncio.to_thread(service.process.wait, DEADLINE_S * 2)


def open_files(service: ServiceProcess) -> int:
    assert service.process is not None
    return len(list(Path(f"/proc/{service.process.pid}/fd").iterdir()))


def room_for_files(service: ServiceProcess) -> int:
    assert service.process is not None
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("FDSize:")))


def lines(service: ServiceProcess) -> list[dict[str, Any]]:
    """The log: one JSON object a line, and nothing else."""
    return [json.loads(line) for line in service.output.splitlines()]


@pytest.mark.parametrize("name", ["port", "admin_port"])
async def test_a_taken_port_is_one_sentence(name: str) -> None:
    """Which it is and how to set another; status 1, no trace."""
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        port = taken.getsockname()[1]
        free = other.getsockname()[1]
        other.close()
        environ = {
            **os.environ,
            "TICKFAN_STREAM__CONNECTIONS_MAX": "100",
            "TICKFAN_BROKER__URL": "memory://",
            "TICKFAN_HTTP__PORT": str(port if name == "port" else free),
            "TICKFAN_HTTP__ADMIN_PORT": str(port if name == "admin_port" else free),
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tickfan", "serve", env=environ,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S * 2)

    text = output.decode().strip()
    assert process.returncode == 1, text
    assert text.count("\n") == 0, text
    assert f"port {port} on 127.0.0.1 is taken; set TICKFAN_HTTP__{name.upper()}" in text


async def test_the_first_signal_drains_in_order(start: MakeProcess) -> None:
    """Unready while still listening; then everybody is told; status 0 within the grace."""
    service = await start(
        STOP__DRAIN_DELAY_S="1.5", STOP__DRAIN_S="0.3", STOP__GRACE_S="10",
        STREAM__CLOSING_TIMEOUT_S="0.5", MARKET__ENABLED="true",
    )  # fmt: skip
    packed = request("/v1/sse", method="POST", Content_Encoding="br", Content_Length="0")
    async with (
        connect(service.port, SSE) as sse,
        connect(service.port, request("/v1/ndjson?channels=%23", version="1.0")) as ndjson,
        connect(service.port, upgrade()) as ws,
        connect(service.port, b"\x16\x03\x01 no HTTP at all\r\n\r\n") as stray,
        connect(service.port, request("/v1/sse?channels=" + "quotes.A," * 2000)) as long,
        connect(service.port, packed) as zipped,
    ):
        assert b" 415 " in await zipped.up_to(b"\r\n")
        assert b" 400 " in await stray.up_to(b"\r\n")
        assert b" 400 " in await long.up_to(b"\r\n")
        await asyncio.gather(sse.up_to(b"snapshot_end"), ndjson.up_to(b"snapshot_end"), ws.head())
        assert (await asyncio.to_thread(service.stats))["connections"] == 3

        began = tell(service)
        await until(lambda: service.ready_status() == 503)
        async with connect(service.port, SSE) as late:
            assert b'"reason":"drain"' in await late.rest()
        assert service.process is not None
        assert service.process.poll() is None

        rest, more = await asyncio.gather(sse.rest(), ndjson.rest())
        assert rest.endswith(b"\r\n0\r\n\r\n")
        assert b'"reason":"drain"' in rest
        assert b'"reason":"drain"' in more.splitlines()[-1]
        while (frame := await ws.frame()).opcode != CLOSE:
            assert b"welcome" in frame.body or b"drain" in frame.body
        assert frame.code == 4003
    assert await ended(service) == 0
    assert time.monotonic() - began >= 1.5

    log = lines(service)
    assert "hush" not in service.output
    assert "channels=" not in service.output
    first, last = log[0], log[-1]
    assert (first["event"], first["port"], first["admin_port"]) == (
        "serving", service.port, service.admin_port,
    )  # fmt: skip
    assert last["event"] == "stopped"
    ends = {line["transport"]: line for line in log if line["event"] == "connection ended"}
    assert set(ends) == {"sse", "ndjson", "ws.json"}
    assert {line["reason"] for line in ends.values()} == {"drain"}
    assert ends["ndjson"]["updates"] > 0
    assert "cut, the grace is over" not in service.output


async def test_a_second_signal_hurries_and_still_tells(start: MakeProcess) -> None:
    """Nobody is cut without a word."""
    service = await start(STOP__DRAIN_DELAY_S=LONG_S, STOP__GRACE_S=f"{LONG_S}0")
    async with connect(service.port, SSE) as wire:
        await wire.up_to(b"snapshot_end")
        tell(service)
        await until(lambda: service.ready_status() == 503)
        tell(service, signal.SIGINT)
        assert b'"reason":"drain"' in await wire.rest()
    assert await ended(service) == 0


async def test_who_has_not_been_told_when_the_grace_ends_is_told_then(start: MakeProcess) -> None:
    """A drain that takes all of the grace that it may leaves no client without a reason."""
    service = await start(STOP__DRAIN_S="1", STOP__GRACE_S="2")
    async with contextlib.AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(connect(service.port, SSE)) for _ in range(5)]
        await asyncio.gather(*(wire.up_to(b"snapshot_end") for wire in wires))
        tell(service)
        for body in await asyncio.gather(*(wire.rest() for wire in wires)):
            assert b'"reason":"drain"' in body
    assert await ended(service) == 0


async def test_a_client_that_never_reads_does_not_hold_the_exit(start: MakeProcess) -> None:
    """Its goodbye may take 30 s by itself; the grace ends before."""
    service = await start(
        STOP__DRAIN_S="0", STOP__GRACE_S="2", STREAM__CLOSING_TIMEOUT_S="30",
        MARKET__ENABLED="true", MARKET__RATE="2000",
    )  # fmt: skip
    async with (
        connect(service.port, request("/v1/sse?channels=%23"), receive_bytes=2048),
        connect(service.port, upgrade(), receive_bytes=2048) as ws,
    ):
        ws.send_frame(1, b'{"op":"subscribe","channels":["#"]}')
        async with asyncio.timeout(DEADLINE_S):
            while (await asyncio.to_thread(service.stats))["parked"] < 2:
                pass
        tell(service)
        assert await ended(service) == 0
    [cut] = [line for line in lines(service) if line["event"].startswith("cut")]
    assert cut["level"] == "warning"


BROKEN = """
import asyncio, signal
from tickfan import cli
from tickfan.broker.memory import MemoryBroker
from tickfan.market import simulated

async def fail(*_args, **_more):
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, told.set)
    await told.wait()
    raise ZeroDivisionError("deep")

{part} = fail
cli.cli(["serve"], prog_name="tickfan")
"""


@pytest.mark.parametrize(
    ("name", "part"), [("broker", "MemoryBroker.run"), ("market", "simulated.run")]
)
async def test_a_part_that_fails_ends_the_process(tmp_path: Path, name: str, part: str) -> None:
    """Clients are told, and status 1 with one sentence: it must not look alive without it."""
    has_market = "true" if name == "market" else "false"
    settings = {**QUIET, "MARKET__ENABLED": has_market, "STOP__DRAIN_S": "0"}
    service = ServiceProcess(tmp_path, settings, (sys.executable, "-c", BROKEN.format(part=part)))
    try:
        await asyncio.to_thread(service.start, wait_ready=name == "market")
        async with connect(service.port, SSE) as sse:
            await sse.up_to(b"snapshot_end")
            tell(service, signal.SIGUSR1)
            assert b'"reason":"drain"' in await sse.rest()
        assert await ended(service) == 1
    finally:
        service.kill()

    *log, sentence = service.output.splitlines()
    assert sentence.endswith(f"the {name} task ended: deep")
    [failed] = [line for line in map(json.loads, log) if line["level"] == "critical"]
    assert failed["part"] == name
    assert "ZeroDivisionError: deep" in failed["exception"]
    assert json.loads(log[-1])["event"] == "stopped"


async def test_connections_that_wait_for_a_request_do_not_hold_the_exit(start: MakeProcess) -> None:
    """One that never asked, and one that is kept alive after its answer: a proxy has many."""
    service = await start(STOP__DRAIN_S="0", STOP__GRACE_S=LONG_S)
    async with (
        connect(service.port, b""),
        connect(service.port, b"GET /v1/channels HTTP/1.1\r\nHost: x\r\n\r\n") as asked,
    ):
        assert (await asked.head())[0] == 200
        tell(service)
        assert await ended(service) == 0
    assert not [line for line in lines(service) if line["event"].startswith("cut")]


ASKED = b"GET /v1/channels HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHos"], ids=["silent", "begun"])
async def test_a_kept_connection_outlives_one_that_asks_for_nothing(
    start: MakeProcess, begun: bytes
) -> None:
    """Proxies keep theirs for a minute, and send the next request into one that they have."""
    service = await start(HTTP__HEADER_TIMEOUT_S="2", HTTP__KEEPALIVE_TIMEOUT_S=LONG_S)
    async with connect(service.port, ASKED) as kept:
        assert (await kept.head())[0] == 200
        await kept.up_to(b"}\n")
        async with connect(service.port, begun) as other:
            assert await other.rest() == b""  # it came later, and ends first
        kept.send(ASKED)
        assert (await kept.head())[0] == 200


async def test_a_kept_connection_does_not_stay_for_ever(start: MakeProcess) -> None:
    """Each takes a file."""
    service = await start(HTTP__HEADER_TIMEOUT_S=LONG_S, HTTP__KEEPALIVE_TIMEOUT_S="1")
    async with connect(service.port, b"") as silent:
        async with connect(service.port, ASKED) as kept:
            assert (await kept.head())[0] == 200
            await kept.rest()
        silent.send(ASKED)  # it had longer for its first request
        assert (await silent.head())[0] == 200


async def test_a_body_that_does_not_come_does_not_hold_the_exit(start: MakeProcess) -> None:
    """It is refused in time, and the rest of it is not waited for."""
    service = await start(STOP__DRAIN_S="0", STOP__GRACE_S=LONG_S, HTTP__HEADER_TIMEOUT_S="1")
    head = request("/v1/sse", method="POST", Content_Length="100")
    async with connect(service.port, head + b"{") as wire:
        tell(service)
        assert (await wire.head())[0] == 408
        assert await ended(service) == 0
    assert not [line for line in lines(service) if line["event"].startswith("cut")]


async def test_answers_that_nobody_reads_do_not_hold_the_exit(start: MakeProcess) -> None:
    """They are cut when the clients of streams are told to go; the grace is far away."""
    service = await start(
        STOP__DRAIN_S="0", STOP__GRACE_S=LONG_S, HTTP__ANSWER_TIMEOUT_S=LONG_S,
        STREAM__CLOSING_TIMEOUT_S="0.5",
    )  # fmt: skip
    body = json.dumps("x" * 200_000).encode()
    publish = request(
        "/v1/channels/trades.A", method="POST", Content_Type="application/json",
        Content_Length=str(len(body)),
    ) + body  # fmt: skip
    async with contextlib.AsyncExitStack() as stack:
        publisher = await stack.enter_async_context(connect(service.port, publish * 5))
        for _ in range(5):
            await publisher.up_to(b'"confirmed":true}\n')
        sse = await stack.enter_async_context(connect(service.port, SSE))
        await sse.up_to(b"snapshot_end")
        asked = request("/v1/channels/trades.A/history")
        for _ in range(60):
            await stack.enter_async_context(connect(service.port, asked, receive_bytes=2048))
        async with asyncio.timeout(DEADLINE_S):
            while (await asyncio.to_thread(service.stats))["answers"]["public"]["writing"] < 60:
                pass
        tell(service)
        assert b'"reason":"drain"' in await sse.rest()
        assert await ended(service) == 0
    log = lines(service)
    cut = [line for line in log if line["event"] == "answer cut"]
    assert len(cut) == 60
    assert {line["reason"] for line in cut} == {"drain"}
    assert not [line for line in log if line["event"].startswith("cut")]


async def test_a_slow_reader_has_its_time_to_read_the_goodbye(start: MakeProcess) -> None:
    """Being told is not having read it: closing_timeout_s holds while the process stops, too."""
    service = await start(
        STOP__DRAIN_S="0", STOP__GRACE_S="20", STREAM__CLOSING_TIMEOUT_S="10",
        MARKET__ENABLED="true", MARKET__RATE="2000",
    )  # fmt: skip
    head = request("/v1/ndjson?channels=%23", version="1.0")
    async with connect(service.port, head, receive_bytes=2048) as wire:
        async with asyncio.timeout(DEADLINE_S):
            while (await asyncio.to_thread(service.stats))["parked"] < 1:
                pass
        tell(service)
        await until(lambda: "connection ended" in service.output)
        await asyncio.sleep(0.5)  # longer than aiohttp waits at its shutdown
        assert b'"reason":"drain"' in (await wire.rest()).splitlines()[-1]
    assert await ended(service) == 0
    warned = [line["event"] for line in lines(service) if line["level"] == "warning"]
    assert warned == ["the market is simulated: no price here is real"], "and nobody was cut"


async def test_there_is_room_for_the_files_of_all_clients(start: MakeProcess) -> None:
    """From the start: the kernel stops a process for 10 ms and more to make it."""
    service = await start(STREAM__CONNECTIONS_MAX="3000")
    assert room_for_files(service) > 3000
    assert open_files(service) < 100


async def test_clients_that_come_and_go_leave_no_socket_and_no_trace(
    start: MakeProcess, over: dict[str, str], certificates: Certificates
) -> None:
    """On the loop of production (uvloop), under load: each end is a line, and that is all."""
    service = await start(**over, MARKET__ENABLED="true", MARKET__RATE="5000")
    tls = trusting(certificates.ca) if over else False

    async def visit(number: int) -> None:
        kinds = (SSE, request("/v1/ndjson?channels=%23", version="1.0"), upgrade())
        async with connect(service.port, kinds[number % 3], tls=tls) as wire:
            if number % 4:
                await wire.up_to(b"welcome" if number % 3 == 2 else b"subscribed")
            if number % 3 == 2:
                wire.send_frame(1, b'{"op":"subscribe","channels":["trades.#"]}')
            if number % 2:
                wire.cut()

    await visit(0)
    before = open_files(service)
    for start_at in range(0, 600, 60):
        await asyncio.gather(*(visit(start_at + number) for number in range(60)))
    await until(lambda: service.stats()["connections"] == 0)
    await until(lambda: open_files(service) <= before + 1)  # one for the request above
    found = service.stats()
    assert (found["audiences"], found["parked"]) == (0, 0)
    counted = sum(sum(reasons.values()) for reasons in found["closes"].values())
    told = [line for line in lines(service) if line["event"] == "connection ended"]
    assert counted == len(told) > 300
    tell(service)
    assert await ended(service) == 0


async def test_port_0_takes_a_free_one_and_says_which() -> None:
    """Else nobody could come."""
    environ = {
        **os.environ,
        "TICKFAN_HTTP__PORT": "0", "TICKFAN_HTTP__ADMIN_PORT": "0", "TICKFAN_LOG__FORMAT": "json",
        "TICKFAN_STREAM__CONNECTIONS_MAX": "100", "TICKFAN_BROKER__URL": "memory://",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tickfan", "serve", env=environ, stderr=subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        line = json.loads(await asyncio.wait_for(process.stderr.readline(), DEADLINE_S))
        assert line["event"] == "serving"
        for port, path in ((line["port"], "/v1/channels"), (line["admin_port"], "/livez")):
            async with connect(port, request(path)) as wire:
                assert (await wire.head())[0] == 200
    finally:
        process.terminate()
        await asyncio.wait_for(process.communicate(), DEADLINE_S)
    assert process.returncode == 0


async def test_a_certificate_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    """Status 1, before it listens."""
    wrong = tmp_path / "wrong.pem"
    wrong.touch()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tickfan", "serve",
        env={**os.environ, "TICKFAN_HTTP__TLS_CERT_FILE": str(wrong),
             "TICKFAN_BROKER__URL": "memory://", "TICKFAN_STREAM__CONNECTIONS_MAX": "100"},
        stderr=subprocess.PIPE,
    )  # fmt: skip
    _, said = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    assert process.returncode == 1
    (line,) = said.decode().splitlines()
    assert f"http.tls_cert_file ({wrong})" in line


async def test_the_first_signal_asks_and_the_second_hurries() -> None:
    """And afterwards signals mean what they meant before."""
    stop = Stop()
    with stop.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(stop.asked.wait(), DEADLINE_S)
        assert not stop.hurry.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.wait_for(stop.hurry.wait(), DEADLINE_S)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
