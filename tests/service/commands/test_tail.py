"""tail as a process of its own, against a server that speaks the protocol."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import signal
import sys
import termios
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from aiohttp.test_utils import TestServer

import tickfan_client
from loadtest.rig.waiting import until
from tests.service.client.fakeservice import FakeService
from tests.support.access import GUARDED, token

if TYPE_CHECKING:
    from pytest_aiohttp.plugin import AiohttpClient

    from tests.support.fixtures import MakeLive

ENOUGH_S = 20
ROOT = Path(__file__).parents[3]
ENV = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(
        [str(ROOT / "service"), str(Path(tickfan_client.__file__).parents[1])]
    ),
}


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
async def url(service: FakeService, aiohttp_client: AiohttpClient) -> str:
    client = await aiohttp_client(service.app(), server_kwargs={"handler_cancellation": True})
    return str(client.make_url("/"))


def row(seq: int, last: str = "1.50") -> list[Any]:
    return ["quotes.A", seq, 1000 + seq, {"last": last}]


GRANTED = [{"channel": "quotes.A", "delivery": "conflated"}]
ANSWER = {"t": "subscribed", "id": 1, "channels": GRANTED}


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tickfan", "tail", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=ROOT, env=ENV,
    )  # fmt: skip


async def finish(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    async with asyncio.timeout(ENOUGH_S):
        out, err = await process.communicate()
    return process.returncode, (out or b"").decode(), err.decode()


async def test_json_lines_until_the_count(service: FakeService, url: str) -> None:
    """--json: updates and events as lines; --count counts updates; the sum is on stderr."""
    batch = {"t": "updates", "u": [row(1), row(2), row(3)]}
    service.answers = [[ANSWER, {"t": "heartbeat"}, batch]]
    process = await start("quotes.#", "--json", "--url", url, "--count", "2", "--no-snapshot")
    status, out, err = await finish(process)
    assert status == 0
    assert err.startswith("tickfan: 2 updates of 1 channel, 1970-01-0")
    assert len(err.splitlines()) == 1
    assert [orjson.loads(line) for line in out.splitlines()] == [
        {"event": "welcome"},
        {"event": "subscribed", "id": 1, "channels": GRANTED},
        {"event": "heartbeat"},
        {"channel": "quotes.A", "seq": 1, "ts": 1001, "data": {"last": "1.50"}},
        {"channel": "quotes.A", "seq": 2, "ts": 1002, "data": {"last": "1.50"}},
    ]
    assert service.commands[0]["channels"] == ["quotes.#"]
    assert service.commands[0]["snapshot"] is False


async def test_lines_for_a_person(service: FakeService, url: str) -> None:
    """Without a terminal the lines have no colours and are never cut."""
    data = {f"field{number}": "0123456789" for number in range(20)}
    updates = {"t": "updates", "u": [["quotes.A", 1, 1000, data]]}
    service.answers = [[ANSWER, {"t": "gap", "reason": "bad_json"}, updates]]
    status, out, err = await finish(await start("quotes.A", "--url", url, "--count", "1"))
    assert status == 0
    assert err.startswith("tickfan: 1 update of 1 channel, 1970-01-0")
    assert err.endswith("; 1 gap\n")
    granted, gap, update = out.splitlines()
    assert granted.startswith("-- subscribed  quotes.A (conflated)")
    assert gap.startswith("-- gap")
    assert update.endswith("field19 0123456789")
    assert "\x1b" not in out


async def test_a_narrow_terminal_shows_the_price(service: FakeService, url: str) -> None:
    """Each line fits into its 40 columns, and the price is whole."""
    trade = {"side": "buy", "size": "0.5", "price": "67123.45"}
    updates = {"t": "updates", "u": [["trades.BTC-USD", 1, 1_704_205_800_123, trade]]}
    service.answers = [[ANSWER, updates]]
    env = {**ENV, "TERM": "xterm", "NO_COLOR": "1"}
    env.pop("COLUMNS", None)  # it would win over the terminal's size
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 40))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tickfan", "tail", "trades.#", "--url", url, "--count", "1",
        stdin=asyncio.subprocess.DEVNULL, stdout=theirs, stderr=asyncio.subprocess.PIPE,
        cwd=ROOT, env=env,
    )  # fmt: skip
    os.close(theirs)
    status, _, _ = await finish(process)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", os.read(ours, 65_536).decode()).splitlines()
    os.close(ours)
    assert status == 0
    assert shown[-1] == "2024-01-02  …des.BTC-USD  price 67123.45"
    assert all(len(line) <= 40 for line in shown)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_ctrl_c_ends_well(service: FakeService, url: str, number: signal.Signals) -> None:
    """A signal closes the connection and ends with status 0 and the sum."""
    service.answers = [[ANSWER, {"t": "updates", "u": [row(1)]}]]
    process = await start("quotes.A", "--json", "--url", url)
    assert process.stdout is not None
    async with asyncio.timeout(ENOUGH_S):
        while b'"seq":1' not in await process.stdout.readline():
            pass  # each line is flushed when it comes
    process.send_signal(number)
    status, _, err = await finish(process)
    assert status == 0
    assert err.startswith("tickfan: 1 update of 1 channel, ")
    async with asyncio.timeout(ENOUGH_S):
        await service.gone.wait()


async def test_a_closed_pipe_ends_well(service: FakeService, url: str) -> None:
    """A reader that has enough (head) ends it quietly."""
    updates = {"t": "updates", "u": [row(number) for number in range(50_000)]}
    service.answers = [[ANSWER, updates]]
    process = await asyncio.create_subprocess_shell(
        f"{sys.executable} -m tickfan tail quotes.A --json --url {url} | head -n 3 && "
        'echo "${PIPESTATUS[0]}" >&2',
        executable="/bin/bash", cwd=ROOT, env=ENV,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    status, out, err = await finish(process)
    assert (status, err) == (0, "0\n")
    assert len(out.splitlines()) == 3


@pytest.mark.parametrize("as_json", ["--json", ""])
async def test_a_full_disk_is_one_line(service: FakeService, url: str, as_json: str) -> None:
    """What cannot be written is said; status 1, no traceback."""
    service.answers = [[ANSWER, {"t": "updates", "u": [row(1)]}]]
    process = await asyncio.create_subprocess_shell(
        f"{sys.executable} -m tickfan tail quotes.A {as_json} --url {url} > /dev/full",
        executable="/bin/bash", cwd=ROOT, env=ENV,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    status, _, err = await finish(process)
    assert err == "tickfan: what it prints cannot be written: No space left on device\n"
    assert status == 1


async def test_a_letter_that_the_encoding_lacks_is_escaped(service: FakeService, url: str) -> None:
    """In a file or a terminal that is not UTF-8 the other letters and lines stay as they are."""
    service.answers = [[ANSWER, {"t": "updates", "u": [row(1, "5 €"), row(2, "6 £")]}]]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tickfan", "tail", "quotes.A", "--count", "2", "--url", url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        cwd=ROOT, env=ENV | {"PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    status, out, err = await finish(process)
    assert (status, len(err.splitlines())) == (0, 1)
    assert [line.rpartition("last ")[2] for line in out.splitlines()[1:]] == [
        "5 \\u20ac", "6 \\xa3",
    ]  # fmt: skip


async def test_refused(service: FakeService, url: str) -> None:
    """A refused subscription: code, message and item; status 2."""
    error = {"t": "error", "id": 1, "code": "bad_pattern", "message": "write # as %23",
             "item": "quotes."}  # fmt: skip
    service.answers = [[error]]
    status, out, err = await finish(await start("quotes.", "--url", url))
    assert status == 2
    assert out == ""
    assert err == "tickfan: refused: bad_pattern: write # as %23 (quotes.)\n"


async def test_a_service_that_goes_away_and_comes_back(service: FakeService, url: str) -> None:
    """After the time that it asks for, with the cursor; a line for going and one for coming."""
    bye = {"t": "closing", "reason": "drain", "code": 4003, "message": "bye", "retry_ms": 100}
    service.answers = [
        [ANSWER, {"t": "updates", "u": [row(1)], "c": "here"}, bye],
        [ANSWER, {"t": "updates", "u": [row(2)]}],
    ]
    status, out, err = await finish(await start("quotes.A", "--url", url, "--count", "2"))
    assert status == 0
    assert "-- closing" in out
    assert [command.get("cursor") for command in service.commands] == [None, "here"]
    gone, back = err.splitlines()[:2]
    assert gone == "tickfan: closed (drain, 4003): bye; coming back in 0.1 s"
    assert re.fullmatch(r"tickfan: connected again after [0-9.]+ s", back)


async def test_a_service_that_was_starting_and_goes_away(
    service: FakeService, unused_tcp_port: int
) -> None:
    """It has answered, so the address is right: who came too early waits for it, too."""
    starting = {"t": "closing", "reason": "starting", "code": 4000, "message": "soon",
                "retry_ms": 100}  # fmt: skip
    service.answers = [[starting], [ANSWER, {"t": "updates", "u": [row(1)]}]]
    tries = 0

    def close(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1
        writer.close()

    address = ("127.0.0.1", unused_tcp_port)
    async with TestServer(service.app(), host=address[0], port=address[1]):
        process = await start("quotes.A", "--url", "http://{}:{}".format(*address), "--count", "1")
        await until(lambda: service.commands)
    async with await asyncio.start_server(close, *address):
        await until(lambda: tries or process.returncode is not None)
    async with TestServer(service.app(), host=address[0], port=address[1]):
        status, _, err = await finish(process)
    assert (status, tries > 0) == (0, True), err
    assert "connected again" in err


async def test_closing_for_good(service: FakeService, url: str) -> None:
    """A service that asks not to come back: its reason; status 1."""
    service.answers = [
        [ANSWER, {"t": "closing", "reason": "bad_request", "code": 4501, "message": "no"}]
    ]
    status, out, err = await finish(await start("quotes.A", "--url", url))
    assert status == 1
    assert "-- closing" in out
    assert err.startswith("tickfan: closed (bad_request, 4501): no\n")


@pytest.mark.parametrize("transport", ["ws", "sse"])
async def test_nobody_there(unused_tcp_port: int, transport: str) -> None:
    """Connection refused: one sentence; status 1."""
    url = f"http://127.0.0.1:{unused_tcp_port}"
    status, _, err = await finish(await start("q", "--url", url, "--transport", transport))
    assert status == 1
    assert err.startswith(f"tickfan: no connection to {url}/v1/{transport}: connection refused")
    assert len(err.splitlines()) == 1


async def test_bad_address() -> None:
    """An address that is none: one sentence; status 2."""
    status, _, err = await finish(await start("q", "--url", "localhost"))
    assert status == 2
    assert err == "tickfan: 'localhost' is not an address such as http://localhost:8080\n"


async def test_a_quiet_market_is_said_to_be_quiet(service: FakeService, url: str) -> None:
    """--timeout: after so long without an update it names what it waited for; status 1."""
    service.answers = [[ANSWER, {"t": "updates", "u": [row(1)]}]]
    process = await start("quotes.#", "trades.A", "--url", url, "--timeout", "3")
    status, out, err = await finish(process)
    assert status == 1
    assert "quotes.A" in out, "an update had come before"
    assert err.startswith("tickfan: no update of quotes.#, trades.A for 3 s: ")
    assert err.splitlines()[1].startswith("tickfan: 1 update of 1 channel, ")


@pytest.mark.parametrize("transport", ["ws", "sse", "ndjson"])
async def test_a_guarded_service_is_asked_with_a_token(make_live: MakeLive, transport: str) -> None:
    """Without one it says what is missing, and nothing is tried again."""
    live = await make_live(**GUARDED)
    await live.publish("quotes.A", {"last": "1.50"})
    wish = ("quotes.A", "--json", "--url", live.url("/"), "--count", "1", "--transport", transport)
    status, out, err = await finish(await start(*wish, "--token", token(channels=["quotes.#"])))
    assert (status, b'"1.50"' in out.encode()) == (0, True), err
    status, _, err = await finish(await start(*wish))
    assert status == 2
    assert "refused: unauthorized: 'quotes.A' needs a token" in err
