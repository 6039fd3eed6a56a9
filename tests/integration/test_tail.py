"""tail under a service that is restarted: it comes back by itself, and misses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
import uuid
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from loadtest.rig.process import ServiceProcess
from loadtest.rig.waiting import until
from tickfan.broker.base import Message
from tickfan.config import load
from tickfan.parts import build_broker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.conftest import Rabbit
    from tickfan.broker.base import Broker

ENOUGH_S = 20


@pytest.fixture(scope="module")
def amqp(rabbitmq: Rabbit) -> dict[str, str]:
    """Settings for an exchange and streams of these tests' own."""
    mine = f"test-{uuid.uuid4().hex[:8]}"
    names = {"BROKER__EXCHANGE": mine, "BROKER__QUEUE_PREFIX": f"{mine}."}
    return {"BROKER__URL": rabbitmq.url, **names}


@pytest.fixture(scope="module")
def service(
    amqp: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """One for all tests here: each ends it, and starts it again."""
    quick = {**amqp, "STREAM__RETRY_MS": "200", "STOP__DRAIN_S": "0"}
    with ServiceProcess(tmp_path_factory.mktemp("service"), quick) as service:
        yield service


@contextlib.asynccontextmanager
async def _publisher(amqp: dict[str, str]) -> AsyncIterator[Broker]:
    broker = build_broker(
        load(None, {f"TICKFAN_{name}": value for name, value in amqp.items()}), None
    )
    try:
        yield broker
    finally:
        await broker.close()


@pytest.mark.parametrize(
    ("how", "transport"),
    [("stopped", "ws"), ("killed", "ws"), ("killed", "sse"), ("stopped", "ndjson")],
)
async def test_a_restart_under_tail_loses_no_update(
    service: ServiceProcess, amqp: dict[str, str], tmp_path: Path, transport: str, how: str
) -> None:
    """Each update once and in order, also those of the time without a service; two lines."""
    channel = f"trades.{transport}.{how}"
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        tail = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tickfan", "tail", channel, "--json",
            "--url", service.url, "--transport", transport, "--count", "30",
            stdout=out, stderr=err,
        )  # fmt: skip

    def seen() -> list[dict[str, Any]]:
        lines = (tmp_path / "out").read_bytes().splitlines(keepends=True)
        found = [orjson.loads(line) for line in lines if line.endswith(b"\n")]
        return [one for one in found if "data" in one]

    try:
        await until(lambda: b"snapshot_end" in (tmp_path / "out").read_bytes(), "tail is in")
        async with _publisher(amqp) as broker:
            for number in range(30):
                await broker.publish("trades", Message(channel, b"%d" % number))
                if number == 9:
                    await until(lambda: len(seen()) == 10, "tail has what came")
                    end = service.stop if how == "stopped" else service.kill
                    await asyncio.to_thread(end)
                elif number == 19:
                    await asyncio.to_thread(service.start)
        assert await asyncio.wait_for(tail.wait(), ENOUGH_S) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            tail.kill()
        await tail.wait()
    assert [one["data"] for one in seen()] == list(range(30))
    chain = [None, *(one["seq"] for one in seen())]
    assert [one.get("prev") for one in seen()] == chain[:-1]
    gone, back = (tmp_path / "err").read_text().splitlines()[:2]
    reason = "drain" if how == "stopped" else "lost"
    assert re.match(
        rf"tickfan: closed \({reason}, .*\(connection \w+-\d+\); coming back in [0-9.]+ s", gone
    )
    # A service that is still starting may have sent it away before.
    assert re.match(r"tickfan: connected again after [0-9.]+ s \(connection \w+-\d+\)", back)
