"""Real prices from a file, through a real RabbitMQ, to real clients, checked against the file."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import os
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import httpx_sse
import msgpack
from websockets.asyncio.client import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadtest.rig.process import ServiceProcess
    from tests.integration.conftest import MakeService

STOCKS = Path(str(files("vega_datasets") / "_data" / "stocks.csv"))
DEADLINE_S = 60


def _file() -> list[dict[str, str]]:
    with STOCKS.open(newline="") as lines:
        return list(csv.DictReader(lines))


async def test_every_row_of_a_file_reaches_sse_and_websocket_clients(
    make_service: MakeService, amqp: dict[str, str]
) -> None:
    """Lossless: each row, in order, once. Conflated: at last each symbol's last row."""
    service = make_service(amqp).start()
    rows = _file()
    last = {row["symbol"]: row["price"] for row in rows}
    by_symbol: dict[str, list[str]] = {}
    for row in rows:
        by_symbol.setdefault(row["symbol"], []).append(row["price"])

    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        ready = asyncio.Barrier(5)
        readers = [
            tasks.create_task(_sse_trades(service, len(rows), ready)),
            tasks.create_task(_ws_trades(service, len(rows), ready)),
        ]
        conflated = [
            tasks.create_task(_sse_quotes(service, last, ready)),
            tasks.create_task(_ws_quotes(service, last, ready)),
        ]
        await ready.wait()
        lossless_run = await asyncio.to_thread(_publish, amqp, "trades.{symbol}")
        conflated_run = await asyncio.to_thread(_publish, amqp, "quotes.{symbol}")

    for summary in (lossless_run, conflated_run):
        assert f"{len(rows):,}" in summary or str(len(rows)) in summary
    for reader in readers:
        updates = reader.result()
        got: dict[str, list[str]] = {}
        previous: dict[str, int | None] = {}
        for update in updates:
            assert update["prev"] == previous.get(update["channel"]), "the chain is broken"
            previous[update["channel"]] = update["seq"]
            got.setdefault(update["channel"].removeprefix("trades."), []).append(
                update["data"]["price"]
            )
        assert got == by_symbol
    for task in conflated:
        assert task.result() == last


def test_a_pipe_that_stays_open(make_service: MakeService, amqp: dict[str, str]) -> None:
    """Rows go as they come; --count and Ctrl-C end it, though the pipe does not."""
    make_service(amqp).start()
    for stop, count in ((None, ["--count", "2"]), (signal.SIGINT, [])):
        process = subprocess.Popen(
            [sys.executable, "-m", "tickfan", "publish", "--replay", "-", "--asap", *count],
            env=_environ(amqp), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stderr is not None
        assert process.stdout is not None
        with process, contextlib.closing(process.stdin) as pipe:
            if stop is None:
                pipe.write(b"time,symbol,price\n" + b"1704205800,A,1\n" * 3)
                pipe.flush()
            else:
                # So few lines say nothing of the layout yet, and no signal may wait for more.
                pipe.write(b"time,symbol,price\n1704205800,A,1\n")
                pipe.flush()
                _wait_for_threads(process.pid, 2)
                process.send_signal(stop)
            try:
                assert process.wait(DEADLINE_S) == 0, process.stderr.read()
            finally:
                process.kill()
            said = process.stderr.read().decode()
            assert f"go on with --from {3 if stop is None else 1}" in said


def _wait_for_threads(pid: int, count: int) -> None:
    """Until the process has so many threads: then one waits for the pipe."""
    deadline = time.monotonic() + DEADLINE_S
    while len(list(Path(f"/proc/{pid}/task").iterdir())) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _environ(settings: dict[str, str]) -> dict[str, str]:
    return {**os.environ, **{f"TICKFAN_{name}": value for name, value in settings.items()}}


def _publish(settings: dict[str, str], template: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tickfan", "publish", "--replay", str(STOCKS), "--asap",
         "--channel-template", template, "--time-format", "%b %d %Y"],
        env=_environ(settings), capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


async def _sse_trades(
    service: ServiceProcess, count: int, ready: asyncio.Barrier
) -> list[dict[str, Any]]:
    updates: list[dict[str, Any]] = []
    async with (
        httpx.AsyncClient(timeout=DEADLINE_S) as client,
        httpx_sse.aconnect_sse(
            client, "GET", f"{service.url}/v1/sse", params={"channels": "trades.*"}
        ) as source,
    ):
        async for event in source.aiter_sse():
            if event.event == "snapshot_end":
                await ready.wait()
            if event.event == "message":
                updates.append(event.json())
                assert event.id
                if len(updates) == count:
                    break
    return updates


async def _sse_quotes(
    service: ServiceProcess, last: dict[str, str], ready: asyncio.Barrier
) -> dict[str, str]:
    newest: dict[str, str] = {}
    async with (
        httpx.AsyncClient(timeout=DEADLINE_S) as client,
        httpx_sse.aconnect_sse(
            client, "GET", f"{service.url}/v1/sse", params={"channels": "quotes.#"}
        ) as source,
    ):
        async for event in source.aiter_sse():
            if event.event == "snapshot_end":
                await ready.wait()
            if event.event == "message":
                update = event.json()
                newest[update["channel"].removeprefix("quotes.")] = update["data"]["price"]
                if newest == last:
                    break
    return newest


async def _ws_messages(
    service: ServiceProcess, channel: str, ready: asyncio.Barrier
) -> AsyncIterator[dict[str, Any]]:
    async with connect(
        f"ws://127.0.0.1:{service.port}/v1/ws",
        subprotocols=["tickfan.msgpack.v1"],  # type: ignore[list-item]
    ) as socket:
        await socket.send(msgpack.packb({"op": "subscribe", "channels": [channel]}))
        async for message in socket:
            event = msgpack.unpackb(message)
            if event["t"] == "snapshot_end":
                await ready.wait()
            for row in event.get("u", ()):
                yield dict(zip(("channel", "seq", "ts", "data", "prev"), row, strict=False))


async def _ws_trades(
    service: ServiceProcess, count: int, ready: asyncio.Barrier
) -> list[dict[str, Any]]:
    updates: list[dict[str, Any]] = []
    async for update in _ws_messages(service, "trades.#", ready):
        updates.append(update)
        if len(updates) == count:
            break
    return updates


async def _ws_quotes(
    service: ServiceProcess, last: dict[str, str], ready: asyncio.Barrier
) -> dict[str, str]:
    newest: dict[str, str] = {}
    async for update in _ws_messages(service, "quotes.*", ready):
        newest[update["channel"].removeprefix("quotes.")] = update["data"]["price"]
        if newest == last:
            break
    return newest
