"""publish through an outage of a real RabbitMQ, which is killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson
import pytest

from loadtest.rig.waiting import until
from tests.support.amqp import options
from tests.support.broker import Recorder, running
from tickfan.broker.amqp import AmqpBroker
from tickfan.config import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from loadtest.rig.rabbitmq import RabbitNode

ROWS = 60_000
SPEED = "6000"
"""The rows are a second apart, so it takes ten seconds."""
ENOUGH_S = 120


@contextlib.asynccontextmanager
async def publishing(
    node: RabbitNode, directory: Path, *arguments: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, Path]]:
    """``tickfan publish`` as a process, and the file of what it says on stderr."""
    err = directory / "err"
    environ = {**os.environ, "TICKFAN_BROKER__URL": node.url}
    with err.open("wb") as told:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tickfan", "publish", *arguments,
            env=environ, stdout=asyncio.subprocess.PIPE, stderr=told,
        )  # fmt: skip
    try:
        yield process, err
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    """Its status, and its summary."""
    out, _ = await asyncio.wait_for(process.communicate(), ENOUGH_S)
    return process.returncode, out.decode()


def prices(directory: Path) -> str:
    """A file of trades, each with its number as price."""
    path = directory / "prices.csv"
    rows = "".join(f"A,{1_700_000_000 + number},{number}\n" for number in range(ROWS))
    path.write_text("symbol,time,price\n" + rows)
    return str(path)


@contextlib.asynccontextmanager
async def reading(node: RabbitNode) -> AsyncIterator[Recorder]:
    """All that comes into the stream of trades, through outages."""
    [feed] = [one for one in Settings().feed_sources() if one.spec.name == "trades"]
    sink = Recorder()
    async with running(AmqpBroker([replace(feed, warm="1h")], sink, options(node.url))):
        await until(lambda: sink.is_live("trades"), "the stream is read", seconds=30)
        yield sink


def numbers(sink: Recorder) -> list[int]:
    """The prices in the stream, as they stand there."""
    found: list[int] = []
    for delivery in sink.deliveries:
        body = orjson.loads(delivery.body)
        rows = [one["data"] for one in body] if delivery.batch else [body]
        found += [int(row["price"]) for row in rows]
    return found


@pytest.mark.parametrize("how", ["killed", "stopped"])
async def test_a_replay_goes_on_when_rabbitmq_is_back(
    own_rabbitmq: RabbitNode, tmp_path: Path, how: str
) -> None:
    """Each row is in the stream, first copies in order; what was sent twice was announced."""
    node = own_rabbitmq
    await asyncio.to_thread(node.start)
    arguments = ("--replay", prices(tmp_path), "--speed", SPEED)
    async with reading(node) as sink, publishing(node, tmp_path, *arguments) as (process, err):
        await until(lambda: len(sink.deliveries) > 10, "rows come", seconds=60)
        await asyncio.to_thread(node.kill if how == "killed" else node.stop)
        await until(lambda: "waiting for the broker" in err.read_text(), "it noticed", seconds=30)
        await asyncio.to_thread(node.start)
        status, out = await ended(process)
        said = err.read_text()
        assert status == 0, said
        confirmed = set(range(ROWS))
        await until(lambda: set(numbers(sink)) >= confirmed, "all rows are there", seconds=60)
        rows = numbers(sink)
    assert list(dict.fromkeys(rows)) == list(range(ROWS))
    assert said.count("waiting for the broker") == said.count("the broker is back after") == 1
    assert re.search(rf"confirmed +{ROWS:,}\n", out)
    again = re.search(r"sent again +([0-9,]+)  \(trades: these may be there twice\)", out)
    assert again is not None, out
    assert len(rows) - ROWS <= int(again[1].replace(",", ""))


async def test_an_outage_that_is_ended_names_the_row(
    own_rabbitmq: RabbitNode, tmp_path: Path
) -> None:
    """Ctrl-C while it waits, and --from later: no row is missing in the stream."""
    node = own_rabbitmq
    await asyncio.to_thread(node.start)
    arguments = ("--replay", prices(tmp_path))
    async with reading(node) as sink:
        async with publishing(node, tmp_path, *arguments, "--speed", SPEED) as (process, err):
            await until(lambda: len(sink.deliveries) > 10, "rows come", seconds=60)
            await asyncio.to_thread(node.kill)
            await until(lambda: "waiting for the broker" in err.read_text(), "it noticed")
            process.send_signal(signal.SIGINT)
            status, out = await ended(process)
            said = err.read_text()
        assert status == 1
        assert "Traceback" not in said
        row = re.search(r"go on with --from (\d+); rows after it may have arrived", said)
        assert row is not None, said
        assert re.search(r"failures +[1-9]", out)
        await asyncio.to_thread(node.start)
        rest = (*arguments, "--asap", "--from", row[1], "--timeout", "60")
        async with publishing(node, tmp_path, *rest) as (process, err):
            assert (await ended(process))[0] == 0, err.read_text()
        everything = set(range(ROWS))
        await until(lambda: set(numbers(sink)) >= everything, "all rows are there", seconds=60)


async def test_a_market_goes_on_too_and_a_deadline_ends_it(
    own_rabbitmq: RabbitNode, tmp_path: Path
) -> None:
    """--timeout: so long it waits, and not for ever."""
    node = own_rabbitmq
    await asyncio.to_thread(node.start)
    async with (
        reading(node) as sink,
        publishing(node, tmp_path, "--simulated", "--rate", "500", "--timeout", "40") as (
            process,
            err,
        ),
    ):
        await until(lambda: len(sink.deliveries) > 10, "trades come", seconds=60)
        await asyncio.to_thread(node.kill)
        await until(lambda: "waiting for the broker" in err.read_text(), "it noticed", seconds=30)
        await asyncio.to_thread(node.start)
        await until(lambda: "the broker is back" in err.read_text(), "it goes on", seconds=60)
        process.send_signal(signal.SIGTERM)
        assert (await ended(process))[0] == 0, err.read_text()
