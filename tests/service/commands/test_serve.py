"""serve as a process of its own: it greets, it serves, it stops."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import tickfan_client
from tests.service.client.fakeservice import take

if TYPE_CHECKING:
    from collections.abc import Callable

ENOUGH_S = 20
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_greets_serves_stops(
    unused_tcp_port_factory: Callable[[], int], number: signal.Signals
) -> None:
    """The printed address works; a signal ends the clients in words and the process with 0."""
    port, admin_port = unused_tcp_port_factory(), unused_tcp_port_factory()
    env = _environment(
        HTTP__PORT=str(port),
        HTTP__ADMIN_PORT=str(admin_port),
        LOG__FORMAT="console",
        STOP__DRAIN_S="0",
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tickfan", "serve", "--demo", cwd=ROOT, env=env,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with asyncio.timeout(ENOUGH_S):
            line = b""
            while b"curl -N" not in line:
                line = await process.stderr.readline()
                assert line, "it ended before it was up"
        assert f"'http://localhost:{port}/v1/sse?channels=quotes.%23'" in line.decode()
        async with tickfan_client.connect(f"http://localhost:{port}") as client:
            granted = await client.subscribe(["quotes.#", "trades.#"])
            assert granted.body["simulated"] is True
            assert len(await take(client, 10)) == 10
            process.send_signal(number)
            with pytest.raises(tickfan_client.Closed) as closed:
                await _read_on(client)
        assert (closed.value.reason, closed.value.may_reconnect) == ("drain", True)
        async with asyncio.timeout(ENOUGH_S):
            await process.communicate()
        assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


def _environment(**settings: str) -> dict[str, str]:
    """This process's, with these settings and no others."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("TICKFAN_")}
    paths = [str(ROOT / "service"), str(Path(tickfan_client.__file__).parents[1])]
    env["PYTHONPATH"] = os.pathsep.join(paths)
    return env | {f"TICKFAN_{name}": value for name, value in settings.items()}


def test_without_a_broker_it_does_not_start() -> None:
    """The shipped settings and an empty environment: status 2 and one line, no invented price."""
    words = [sys.executable, "-m", "tickfan", "serve", "--config", "config/tickfan.toml"]
    for env in ({}, {"BROKER__URL": ""}):
        ended = subprocess.run(
            words, cwd=ROOT, env=_environment(**env), capture_output=True, text=True,
            timeout=ENOUGH_S, check=False,
        )  # fmt: skip
        assert (ended.returncode, ended.stdout) == (2, "")
        [line] = ended.stderr.splitlines()
        assert line.startswith("tickfan: broker.url: ")
        assert "Set TICKFAN_BROKER__URL=amqp://user:password@host:5672/vhost" in line
        assert "`tickfan serve --demo`" in line


@pytest.mark.parametrize(
    ("settings", "warned"),
    [
        ({"MARKET__ENABLED": "true"}, "the market is simulated: no price here is real"),
        (
            {"BROKER__URL": "memory://"},
            "the broker is inside of this process: it has what HTTP publishes, and nothing else",
        ),
        ({"BROKER__URL": "amqp://127.0.0.1:1/"}, None),
    ],
)
async def test_the_log_says_what_runs_in_the_place_of_rabbitmq(
    settings: dict[str, str], warned: str | None
) -> None:
    """One warning when it starts, with the setting that names a RabbitMQ; with one, none."""
    env = _environment(
        HTTP__PORT="0", HTTP__ADMIN_PORT="0", LOG__FORMAT="json", STREAM__CONNECTIONS_MAX="100",
        **settings,
    )  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tickfan", "serve", cwd=ROOT, env=env,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with asyncio.timeout(ENOUGH_S):
            first, second = [json.loads(await process.stderr.readline()) for _ in range(2)]
    finally:
        process.kill()
        await process.communicate()
    assert first["event"] == "serving"
    said = second["event"].startswith(("the market", "the broker is inside"))
    assert said == (warned is not None)
    if warned is not None:
        assert (second["level"], second["event"]) == ("warning", warned)
        assert "set TICKFAN_BROKER__URL" in second["hint"]


async def test_few_files_are_no_warning_and_no_failure(
    unused_tcp_port_factory: Callable[[], int],
) -> None:
    """It takes as many clients as there is room for; the next is told, and the rest works."""
    port, admin_port = unused_tcp_port_factory(), unused_tcp_port_factory()
    env = _environment(
        HTTP__PORT=str(port), HTTP__ADMIN_PORT=str(admin_port), LOG__FORMAT="json",
        STOP__DRAIN_S="0",
    )  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", 'ulimit -n 100; exec "$@"', "-", sys.executable, "-m", "tickfan", "serve",
        "--demo",
        cwd=ROOT, env=env, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    said: list[dict[str, Any]] = []
    streams: list[asyncio.StreamWriter] = []
    try:
        async with asyncio.timeout(ENOUGH_S):
            while "connections_max" not in (said[-1] if said else {}):
                said.append(json.loads(await process.stderr.readline()))
            for number in range(47):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                streams.append(writer)
                writer.write(b"GET /v1/sse?channels=quotes.%23 HTTP/1.1\r\nHost: x\r\n\r\n")
                words = b'"reason":"overload"' if number == 46 else b"event: subscribed"
                assert (await reader.readuntil(words)).startswith(b"HTTP/1.1 200 ")
            _, admin = await asyncio.open_connection("127.0.0.1", admin_port)
            streams.append(admin)
            said.append(json.loads(await process.stderr.readline()))
            process.send_signal(signal.SIGTERM)
            await process.communicate()
    finally:
        for writer in streams:
            writer.close()
        if process.returncode is None:
            process.kill()
            await process.communicate()
    warned = [line["event"] for line in said if line["level"] != "info"]
    assert warned == ["the market is simulated: no price here is real"]
    room, away = said[-2:]
    assert (room["connections_max"], room["sockets_max"], room["wanted"]) == (46, 50, 20_000)
    assert room["hint"] == "ulimit -n 22100"
    assert (away["reason"], away["connections_max"]) == ("overload", 46)


async def _read_on(client: tickfan_client.Client) -> None:
    async with asyncio.timeout(ENOUGH_S):
        async for _ in client:
            pass
