"""``tickfan publish``: a simulated market or a CSV file into the configured broker.

Must not know who reads it, nor any other command.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from tickfan.app import build_broker
from tickfan.broker.base import BrokerDown, TopologyError
from tickfan.commands import FAILED, OK, WRONG
from tickfan.commands.outbox import Outbox, Outcome
from tickfan.commands.shared import say, settings_from, until_signal
from tickfan.core.errors import Refusal
from tickfan.market import csvfile, simulated
from tickfan.market.routes import Routes

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from tickfan.broker.base import Broker
    from tickfan.config import Settings

    Build = Callable[[Settings, None], Broker]

REFRESH_S = 0.2

MEMORY = (
    "broker.url is memory://, which lives inside one `tickfan serve`: nobody would see what is "
    "published here (that service runs the simulated market itself); set "
    "TICKFAN_BROKER__URL=amqp://user:password@host/vhost"
)


@dataclass(frozen=True, slots=True)
class Order:
    """What to publish: ``replay`` if given, else the simulated market.

    ``rate`` is updates a second; ``count`` (updates) and ``seconds`` end it.
    """

    replay: csvfile.Replay | None = None
    rate: float | None = None
    seed: int | None = None
    count: int | None = None
    seconds: float | None = None


def publish(config: Path | None, order: Order, build: Build = build_broker) -> int:
    """Publish, show how it goes, and sum up; status 1 if any update failed.

    ``build`` makes the broker that the settings name, without a sink.
    """
    settings = settings_from(config)
    if settings.broker.is_memory:
        say(MEMORY)
        return WRONG
    # What the broker's library logs on stderr comes as an exception, too.
    logging.getLogger().addHandler(logging.NullHandler())
    return asyncio.run(_publish(settings, order, build))


async def _publish(settings: Settings, order: Order, build: Build) -> int:
    routes = Routes(settings.feed_specs())
    broker = build(settings, None)
    begin = time.monotonic()
    problem: str | None = None
    outbox: Outbox | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            outbox = Outbox(broker, tasks)
            try:
                await until_signal(
                    _watched(_source(settings, routes, order, outbox), outbox, order)
                )
            except (BrokerDown, TopologyError, csvfile.ReplayError, Refusal) as error:
                # Caught in here: what is in flight may still be confirmed.
                problem = str(error)
    finally:
        await broker.close()
    outcome = outbox.outcome
    problem = problem or outcome.why
    if outcome.published:
        _sum_up(outcome, routes, time.monotonic() - begin)
    if problem is not None:
        say(problem)
    return OK if problem is None and _is_well(outcome, routes) else FAILED


def _source(
    settings: Settings, routes: Routes, order: Order, outbox: Outbox
) -> Coroutine[object, object, None]:
    if order.replay is not None:
        return csvfile.run(
            outbox.publish, routes, order.replay, count=order.count, seconds=order.seconds
        )
    seed = order.seed if order.seed is not None else settings.market.seed
    return simulated.run(
        outbox.publish,
        routes,
        rate=order.rate or settings.market.rate,
        seed=secrets.randbits(32) if seed is None else seed,
        count=order.count,
        seconds=order.seconds,
    )


async def _watched(source: Coroutine[object, object, None], outbox: Outbox, order: Order) -> None:
    """Run the source under a progress bar, on a terminal."""
    progress = Progress(
        SpinnerColumn(),
        TextColumn("[bold]publishing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("[cyan]{task.fields[rate]:,.0f}/s"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
    bar = progress.add_task("", total=order.count, rate=0.0)
    clock = asyncio.get_running_loop().time

    async def watch() -> None:
        begin = clock()
        while True:
            done = outbox.outcome.confirmed + outbox.outcome.unroutable
            progress.update(bar, completed=done, rate=done / max(REFRESH_S, clock() - begin))
            await asyncio.sleep(REFRESH_S)

    with progress:
        watcher = asyncio.ensure_future(watch())
        try:
            await source
        finally:
            watcher.cancel()


def _is_well(outcome: Outcome, routes: Routes) -> bool:
    """Unroutable means lost on a lossless feed; on a conflated one, that nobody listens."""
    return outcome.failed == 0 and not any(map(routes.is_lossless, outcome.unroutable_feeds))


def _sum_up(outcome: Outcome, routes: Routes, seconds: float) -> None:
    rate = outcome.published / max(seconds, 0.001)
    messages = "" if outcome.messages == outcome.published else f" in {outcome.messages:,} messages"
    lines = [
        f"published   {outcome.published:>12,} updates{messages}, {seconds:.1f} s, {rate:,.0f}/s",
        f"confirmed   {outcome.confirmed:>12,}",
        f"unroutable  {outcome.unroutable:>12,}{_hint(outcome, routes)}",
        f"failures    {outcome.failed:>12,}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def _hint(outcome: Outcome, routes: Routes) -> str:
    if not outcome.unroutable_feeds:
        return ""
    lossless = sorted(filter(routes.is_lossless, outcome.unroutable_feeds))
    if lossless:
        return (
            f"  ({', '.join(lossless)}: no stream is bound; with broker.declare = true it is made)"
        )
    feeds = ", ".join(sorted(outcome.unroutable_feeds))
    return f"  ({feeds}: no queue is bound; no `tickfan serve` is connected)"
