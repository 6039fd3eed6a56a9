"""publish through an outage of a real RabbitMQ, which is killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson
import pytest

from loadtest.rig.waiting import until
from tests.support.amqp import options
from tests.support.broker import Recorder, running
from tickfan.broker.amqp import AmqpBroker
from tickfan.commands.outbox import IN_FLIGHT_MAX
from tickfan.config import load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from loadtest.rig.rabbitmq import RabbitNode
    from tickfan.broker.base import Received

ROWS = 40_000
SPEED = "6000"
"""The rows are a second apart, so it takes seven seconds."""
UNDER_WAY = IN_FLIGHT_MAX
"""If more messages have come, RabbitMQ has confirmed one: it is known, and is waited for."""
ENOUGH_S = 120


@pytest.fixture
def mine(mortal_rabbitmq: RabbitNode, monkeypatch: pytest.MonkeyPatch) -> RabbitNode:
    """The node; the settings of this process and of its children have names of the test's own."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv("TICKFAN_BROKER__URL", mortal_rabbitmq.url)
    monkeypatch.setenv("TICKFAN_BROKER__EXCHANGE", name)
    monkeypatch.setenv("TICKFAN_BROKER__QUEUE_PREFIX", f"{name}.")
    return mortal_rabbitmq


@contextlib.asynccontextmanager
async def publishing(
    directory: Path, *arguments: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, Path]]:
    """``tickfan publish`` as a process, and the file of what it says on stderr."""
    err = directory / "err"
    with err.open("wb") as told:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tickfan", "publish", *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=told,
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


class Prices(Recorder):
    """Keeps the prices too, as they stand in the stream."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: list[int] = []

    def deliver(self, feed: str, message: Received, fingerprint: str | None = None) -> None:
        """Keep it."""
        super().deliver(feed, message, fingerprint)
        body = orjson.loads(message.body)
        rows = [one["data"] for one in body] if message.batch else [body]
        self.numbers += [int(row["price"]) for row in rows]


@contextlib.asynccontextmanager
async def reading(node: RabbitNode) -> AsyncIterator[Prices]:
    """All that comes into the stream of trades, through outages."""
    settings = load(None, dict(os.environ))
    [feed] = [one for one in settings.feed_sources() if one.spec.name == "trades"]
    sink = Prices()
    async with running(AmqpBroker([replace(feed, warm="1h")], sink, options(node.url))):
        await until(lambda: sink.is_live("trades"), "the stream is read", seconds=30)
        yield sink


@pytest.mark.parametrize("how", ["killed", "stopped"])
async def test_a_replay_goes_on_when_rabbitmq_is_back(
    mine: RabbitNode, tmp_path: Path, how: str
) -> None:
    """Each row is in the stream, first copies in order; what was sent twice was announced."""
    arguments = ("--replay", prices(tmp_path), "--speed", SPEED)
    async with reading(mine) as sink, publishing(tmp_path, *arguments) as (process, err):
        await until(lambda: len(sink.deliveries) > UNDER_WAY, "rows come", seconds=60)
        await asyncio.to_thread(mine.kill if how == "killed" else mine.stop)
        await until(lambda: "waiting for the broker" in err.read_text(), "it noticed", seconds=30)
        await asyncio.to_thread(mine.start)
        status, out = await ended(process)
        said = err.read_text()
        assert status == 0, said
        confirmed = set(range(ROWS))
        await until(lambda: set(sink.numbers) >= confirmed, "all rows are there", seconds=60)
        rows = sink.numbers
    assert list(dict.fromkeys(rows)) == list(range(ROWS))
    assert said.count("waiting for the broker") == said.count("the broker is back after") == 1
    assert re.search(rf"confirmed +{ROWS:,}\n", out)
    again = re.search(r"sent again +([0-9,]+)  \(trades: these may be there twice\)", out)
    assert again is not None, out
    assert len(rows) - ROWS <= int(again[1].replace(",", ""))


async def test_an_outage_that_is_ended_names_the_row(mine: RabbitNode, tmp_path: Path) -> None:
    """Ctrl-C while it waits, and --from later: no row is missing in the stream."""
    arguments = ("--replay", prices(tmp_path))
    async with reading(mine) as sink:
        async with publishing(tmp_path, *arguments, "--speed", SPEED) as (process, err):
            await until(lambda: len(sink.deliveries) > UNDER_WAY, "rows come", seconds=60)
            await asyncio.to_thread(mine.kill)
            await until(lambda: "waiting for the broker" in err.read_text(), "it noticed")
            process.send_signal(signal.SIGINT)
            status, out = await ended(process)
            said = err.read_text()
        assert status == 1
        assert "Traceback" not in said
        row = re.search(r"go on with --from (\d+); rows after it may have arrived", said)
        assert row is not None, said
        assert re.search(r"failures +[1-9]", out)
        await asyncio.to_thread(mine.start)
        rest = (*arguments, "--asap", "--from", row[1], "--timeout", "60")
        async with publishing(tmp_path, *rest) as (process, err):
            assert (await ended(process))[0] == 0, err.read_text()
        everything = set(range(ROWS))
        await until(lambda: set(sink.numbers) >= everything, "all rows are there", seconds=60)


async def test_a_market_goes_on_too_and_a_deadline_ends_it(
    mine: RabbitNode, tmp_path: Path
) -> None:
    """--timeout: so long it waits, and not for ever."""
    async with (
        reading(mine) as sink,
        publishing(tmp_path, "--simulated", "--rate", "500", "--timeout", "40") as (
            process,
            err,
        ),
    ):
        await until(lambda: len(sink.deliveries) > UNDER_WAY, "trades come", seconds=60)
        await asyncio.to_thread(mine.kill)
        await until(lambda: "waiting for the broker" in err.read_text(), "it noticed", seconds=30)
        await asyncio.to_thread(mine.start)
        await until(lambda: "the broker is back" in err.read_text(), "it goes on", seconds=60)
        process.send_signal(signal.SIGTERM)
        assert (await ended(process))[0] == 0, err.read_text()
