"""One run: healthy clients alone, with attackers beside them, and alone again.

Must not know how its figures are shown.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
import urllib.request
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from loadtest.bench.amqp import Publisher
from loadtest.hostile.healthy import CHANNEL, Watch
from loadtest.rig.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from urllib.parse import SplitResult

    from loadtest.rig.process import ServiceProcess

BATCH = 500
BACK = 1.05
"""How much of its memory before an attack a service may keep."""
TASK_LOOKS = 10
PACE_S = 0.02
SETTINGS = {
    "HTTP__HEADER_TIMEOUT_S": "5", "HTTP__ANSWER_TIMEOUT_S": "5", "STREAM__STALL_TIMEOUT_S": "5",
    "STREAM__CLOSING_TIMEOUT_S": "1", "LOG__FORMAT": "json",
}  # fmt: skip
"""Shorter deadlines than those of a service, so that a run of half a minute meets them."""


@dataclass
class Figures:
    """What was measured. Times are in seconds, memory is in bytes."""

    done: dict[str, int] = field(default_factory=dict)
    refused: dict[str, float] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    seen: int = 0
    p99_alone: float = math.nan
    p99_attacked: float = math.nan
    held_alone: float = math.nan
    held: float = math.nan
    memory_before: float = math.nan
    memory_most: float = 0
    memory_after: float = math.nan
    sockets_before: float = math.nan
    sockets_left: float = math.nan
    tasks_before: float = math.nan
    tasks_left: float = math.nan


async def run(  # noqa: PLR0913 - all by name
    service: ServiceProcess, broker: SplitResult, exchange: str, *, seconds: float, clients: int,
    channels: int, scale: float = 1.0, alone_s: float = 8.0, settles_s: int = 0,
) -> Figures:  # fmt: skip
    """Attack a service that runs with :data:`SETTINGS`, and reads from this broker."""
    figures, watch = Figures(), Watch()
    await asyncio.to_thread(_fill, broker.port or 5672, exchange, channels)
    await until(lambda: service.stats()["feeds"]["quotes"]["channels"] >= channels, "all channels")
    await asyncio.to_thread(_use, service.url)
    async with watch.clients(service.port, clients), _publishing(broker.port or 5672, exchange):
        await asyncio.sleep(1)
        watch.take_ages()
        await asyncio.sleep(alone_s)
        figures.p99_alone = _p99(watch.take_ages())
        before = metrics(service)
        figures.memory_before = before["process_resident_memory_bytes"]
        figures.sockets_before = before["tickfan_sockets"]
        figures.held_alone = before["tickfan_slice_longest_seconds"]
        # A scrape and a probe of the broker are tasks, too, for a moment.
        tasks = max(service.stats()["tasks"] for _ in range(TASK_LOOKS))
        figures.tasks_before = tasks
        attackers = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "loadtest.hostile.attacks",
            str(service.port), str(seconds), str(scale), stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        asking = asyncio.create_task(attackers.communicate())
        while not asking.done():
            await asyncio.wait({asking}, timeout=1)
            now = await asyncio.to_thread(metrics, service)
            memory = now["process_resident_memory_bytes"]
            figures.memory_most = max(figures.memory_most, memory)
        figures.p99_attacked = _p99(watch.take_ages())
        figures.done = json.loads((await asking)[0])
        with_them = figures.sockets_before

        def are_gone() -> bool:
            return metrics(service)["tickfan_sockets"] <= with_them

        await until(are_gone, "the attackers' sockets are gone")
        after = metrics(service)
        figures.held = after["tickfan_slice_longest_seconds"]
        figures.sockets_left = after["tickfan_sockets"] - figures.sockets_before
        await until(lambda: service.stats()["tasks"] <= tasks, "their tasks are gone")
        figures.tasks_left = service.stats()["tasks"] - tasks
        figures.memory_after = await _settled(service, figures.memory_before * BACK, settles_s)
        figures.refused = {
            name: after[name] - before.get(name, 0)
            for name in sorted(after)
            if ("refus" in name or "closes" in name) and after[name] > before.get(name, 0)
        }
    figures.broken, figures.seen = watch.broken, watch.seen
    return figures


async def _settled(service: ServiceProcess, wanted: float, settles_s: int) -> float:
    """The memory, as soon as it is as small as ``wanted``; after ``settles_s`` as it is."""
    for _ in range(settles_s):
        if metrics(service)["process_resident_memory_bytes"] <= wanted:
            break
        await asyncio.sleep(1)
    return metrics(service)["process_resident_memory_bytes"]


def _fill(port: int, exchange: str, channels: int) -> None:
    """A value in each of so many channels."""
    publisher = Publisher(port, exchange)
    for start in range(0, channels, BATCH):
        names = range(start, min(start + BATCH, channels))
        entries = [{"channel": f"quotes.{n % 97}.{n}", "data": {"bid": n}} for n in names]
        body = orjson.dumps(entries)
        publisher.write(publisher.message("quotes.0.0", body, batch=True))
    publisher.close()


def _use(url: str) -> None:
    """Read what attackers ask for, as a healthy client does: its encodings stay in memory."""
    paths = ("/v1/ndjson?channels=quotes.%23,trades.%23", "/v1/sse?channels=quotes.%23")
    for path in paths:
        with urllib.request.urlopen(url + path, timeout=60) as answer:  # noqa: S310 - our own
            for line in answer:
                if b"snapshot_end" in line:
                    break
    for path in ("/v1/channels?limit=10000", "/v1/channels?limit=10000&pattern=quotes.1.%23"):
        with urllib.request.urlopen(url + path, timeout=60) as answer:  # noqa: S310 - our own
            answer.read()


@asynccontextmanager
async def _publishing(port: int, exchange: str) -> AsyncIterator[None]:
    """An update each 20 ms while inside, with the time in it."""
    publisher = await asyncio.to_thread(Publisher, port, exchange)

    async def publish() -> None:
        while True:
            body = orjson.dumps({"sent_us": time.time_ns() // 1000, "price": "1.25"})
            publisher.write(publisher.message(CHANNEL, body, batch=False))
            await asyncio.sleep(PACE_S)

    task = asyncio.create_task(publish())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        publisher.close()


def metrics(service: ServiceProcess) -> dict[str, float]:
    """The samples of a scrape by name and labels."""
    address = f"http://127.0.0.1:{service.admin_port}/metrics"
    with urllib.request.urlopen(address, timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def _p99(ages: list[float]) -> float:
    """The 99th percentile of sorted values."""
    return ages[int(len(ages) * 0.99)] if ages else math.nan
