"""Lossless means lossless: clients, replicas, links and the broker fail; no update is lost.

With TICKFAN_LONG there are more messages and faults, and the outages are longer.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

import pytest

from loadtest.rig.faults import KINDS, Fault, schedule
from loadtest.rig.survival import SEED, Run, steadily
from loadtest.rig.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from loadtest.rig.rabbitmq import RabbitNode

LONG = "TICKFAN_LONG" in os.environ


async def test_nothing_is_lost_in_silence_whatever_fails(
    mortal_rabbitmq: RabbitNode, tmp_path: Path, figures: Callable[[str], None]
) -> None:
    """50 subscribers, each kind of fault: no silent loss, no duplicate, no reset."""
    messages, faults = (100_000, 20) if LONG else (30_000, 10)
    assert faults >= len(KINDS), "each kind comes"
    run = Run(mortal_rabbitmq, tmp_path, channels=20)
    begin = time.monotonic()
    async with run.following(50) as tasks:
        for fault in schedule(SEED, faults, len(run.stage.replicas)):
            playing = tasks.create_task(run.stage.play(fault))
            await run.publisher.publish(messages // faults)
            await playing
    figures(
        f"{run.figures}, {faults} faults (seed {SEED}), {time.monotonic() - begin:.0f} s\n  "
        + "\n  ".join(run.stage.done)
    )
    run.verify()


async def test_a_replica_killed_under_load(
    mortal_rabbitmq: RabbitNode, tmp_path: Path, figures: Callable[[str], None]
) -> None:
    """kill -9: its clients go on at the other replica, exactly."""
    run = Run(mortal_rabbitmq, tmp_path, channels=6)
    stop = asyncio.Event()
    async with run.following(12) as tasks:
        publishing = tasks.create_task(steadily(run, 1000, stop))
        await until(lambda: run.publisher.count >= 1000, "under load")
        await run.stage.play(Fault("kill_replica", 0, 1.0))
        count = run.publisher.count
        await until(lambda: run.publisher.count >= count + 1000, "under load")
        stop.set()
        await publishing
    figures(run.figures)
    run.verify()


@pytest.mark.parametrize(
    ("kind", "seconds"), [("kill", 15.0), ("freeze", 30.0)], ids=["kill-9", "SIGSTOP"]
)
async def test_an_outage_of_rabbitmq(
    mortal_rabbitmq: RabbitNode,
    tmp_path: Path,
    figures: Callable[[str], None],
    kind: str,
    seconds: float,
) -> None:
    """Sockets stay, `stale` while it is away, `live` when it is back, nothing twice.

    It is away until all know it; ``seconds`` is how long at least, with TICKFAN_LONG.
    """
    node = mortal_rabbitmq
    end, back = {"kill": (node.kill, node.start), "freeze": (node.pause, node.resume)}[kind]
    run = Run(node, tmp_path, channels=6)
    stop = asyncio.Event()
    async with run.following(12) as tasks:
        publishing = tasks.create_task(steadily(run, 500, stop))
        await until(lambda: run.publisher.count >= 500, "under load")
        connects = sum(follower.connects for follower in run.followers)
        begin = time.monotonic()
        await asyncio.to_thread(end)
        await until(lambda: all("stale" in f.statuses for f in run.followers), "stale")
        stale_s = time.monotonic() - begin
        if LONG:
            await asyncio.sleep(max(0, seconds - stale_s))  # the outage's length
        await asyncio.to_thread(back)
        begin = time.monotonic()
        await until(lambda: all(f.statuses[-1] == "live" for f in run.followers), "live")
        live_s = time.monotonic() - begin
        assert sum(follower.connects for follower in run.followers) == connects, "sockets stay"
        stop.set()
        await publishing
    figures(
        f"stale to all after {stale_s:.1f} s, live {live_s:.1f} s after the return; {run.figures}"
    )
    run.verify()
