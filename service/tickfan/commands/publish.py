"""``tickfan publish``: a simulated market or a file's rows into the configured broker.

Must not know who reads it, nor any other command.
"""

from __future__ import annotations

import asyncio
import logging
import math
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
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from tickfan.commands import FAILED, OK, WRONG
from tickfan.commands.outbox import AWAY, Outbox, Outcome, Patience
from tickfan.commands.replay import Playback, Player
from tickfan.commands.shared import (
    BROKER_URL,
    no_broker,
    say,
    settings_from,
    show,
    until_signal,
)
from tickfan.core.errors import Refusal
from tickfan.files.errors import ReplayError
from tickfan.market import simulated
from tickfan.market.routes import Routes
from tickfan.parts import build_broker

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from tickfan.broker.base import Broker
    from tickfan.config import Settings

    Build = Callable[[Settings, None], Broker]

REFRESH_S = 0.2
LINE_S = 10.0
"""How often a line says how far it is, where no bar can be drawn."""

MEMORY = (
    "broker.url: is memory://, which lives inside one `tickfan serve`: nobody would see what is "
    f"published here. Set {BROKER_URL}=amqp://user:password@host:5672/vhost"
)


@dataclass(frozen=True, slots=True)
class Order:
    """What to publish: a file if ``playback`` is given, else the simulated market.

    ``rate`` is updates a second; ``count`` (updates) and ``seconds`` end the market.
    ``checks_only`` reads the file through, and sends nothing. ``timeout_s`` is how long to
    wait for a broker that has gone away; None: until it is back.
    """

    playback: Playback | None = None
    rate: float | None = None
    seed: int | None = None
    count: int | None = None
    seconds: float | None = None
    checks_only: bool = False
    timeout_s: float | None = None

    @property
    def patience(self) -> Patience:
        """How long to wait for the broker. One that ends after a time waits no longer."""
        seconds = self.seconds if self.playback is None else self.playback.pace.seconds
        return Patience(
            math.inf if self.timeout_s is None else self.timeout_s,
            math.inf if seconds is None else seconds,
        )


def publish(config: Path | None, order: Order, build: Build = build_broker) -> int:
    """Publish, show how it goes, and sum up; status 1 if any update failed.

    ``build`` makes the broker that the settings name, without a sink.
    """
    settings = settings_from(config)
    if settings.broker.is_memory and not order.checks_only:
        say(MEMORY if settings.broker.url.get_secret_value() else no_broker())
        return WRONG
    routes = Routes(settings.feed_specs())
    player = None
    if order.playback is not None:
        player = Player(order.playback, routes.feed_of, settings.broker.message_bytes_max)
        if order.checks_only or order.playback.is_checked:
            try:
                is_well = player.check()
            except ReplayError as error:
                say(str(error))
                return FAILED
            if not is_well or order.checks_only:
                return OK if is_well else FAILED
    # What the broker's library logs on stderr comes as an exception, too.
    logging.getLogger().addHandler(logging.NullHandler())
    return asyncio.run(_publish(settings, routes, order, player, build))


async def _publish(
    settings: Settings, routes: Routes, order: Order, player: Player | None, build: Build
) -> int:
    broker = build(settings, None)
    begin = time.monotonic()
    problem: str | None = None
    outcome = Outcome()
    watch = Watch(outcome, player.total if player else order.count)
    try:
        async with asyncio.TaskGroup() as tasks:
            outbox = Outbox(broker, tasks, outcome, watch.say, order.patience)
            if player is None:
                source = _market(settings, routes, order, outbox)
            else:
                source = player.send(outbox, watch.say)
            try:
                await until_signal(watch.over(_all_of(source, outbox)))
            except (*AWAY, ReplayError, Refusal) as error:
                # Caught in here: what is in flight may still be confirmed.
                problem = str(error)
            outbox.give_up()
        outbox.close()
    finally:
        await broker.close()
    problem = problem or outcome.why
    is_shown = not outcome.published or show(_summary(outcome, routes, time.monotonic() - begin))
    if problem is not None:
        say(problem)
    if player is not None and (not player.is_done or outcome.unconfirmed_row is not None):
        say(player.where(outcome.unconfirmed_row))
    return OK if problem is None and is_shown and _is_well(outcome, routes) else FAILED


async def _all_of(source: Coroutine[object, object, None], outbox: Outbox) -> None:
    """Until the source has ended and each message is answered, whatever outages come."""
    await source
    await outbox.settled()


def _market(
    settings: Settings, routes: Routes, order: Order, outbox: Outbox
) -> Coroutine[object, object, None]:
    seed = order.seed if order.seed is not None else settings.market.seed
    return simulated.run(
        outbox.publish,
        routes,
        rate=order.rate or settings.market.rate,
        seed=secrets.randbits(32) if seed is None else seed,
        count=order.count,
        seconds=order.seconds,
    )


class Watch:
    """Shows how far it is: as a bar on a terminal, as a line now and then in a pipe."""

    def __init__(self, outcome: Outcome, total: int | None) -> None:
        """``total`` is how many updates there will be, if that is known."""
        self._outcome = outcome
        self._total = total
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("[bold]publishing"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("[cyan]{task.fields[rate]:,.0f}/s"),
            TimeElapsedColumn(),
            console=Console(stderr=True, soft_wrap=True),
            disable=not sys.stderr.isatty(),
            transient=True,
        )

    def say(self, sentence: str) -> None:
        """A line for a person, above the bar if there is one."""
        if self._progress.disable:
            say(sentence)
        else:
            self._progress.console.print(f"tickfan: {sentence}", markup=False, highlight=False)

    async def over(self, source: Coroutine[object, object, None]) -> None:
        """Run the source, and show how far it is."""
        bar = self._progress.add_task("", total=self._total, rate=0.0)
        with self._progress:
            watcher = asyncio.ensure_future(self._look(bar))
            try:
                await source
            finally:
                watcher.cancel()

    async def _look(self, bar: TaskID) -> None:
        clock = asyncio.get_running_loop().time
        begin = clock()
        while True:
            await asyncio.sleep(LINE_S if self._progress.disable else REFRESH_S)
            done = self._outcome.confirmed + self._outcome.unroutable
            rate = done / max(REFRESH_S, clock() - begin)
            if self._progress.disable:
                of = "" if self._total is None else f" of {self._total:,}"
                say(f"{done:,}{of} updates published, {rate:,.0f}/s")
            else:
                self._progress.update(bar, completed=done, rate=rate)


def _is_well(outcome: Outcome, routes: Routes) -> bool:
    """Unroutable means lost on a lossless feed; on a conflated one, that nobody listens."""
    return outcome.failed == 0 and not any(map(routes.is_lossless, outcome.unroutable_feeds))


def _summary(outcome: Outcome, routes: Routes, seconds: float) -> str:
    rate = outcome.published / max(seconds, 0.001)
    messages = "" if outcome.messages == outcome.published else f" in {outcome.messages:,} messages"
    lines = [
        f"published   {outcome.published:>12,} updates{messages}, {seconds:.1f} s, {rate:,.0f}/s",
        f"confirmed   {outcome.confirmed:>12,}",
        f"unroutable  {outcome.unroutable:>12,}{_hint(outcome, routes)}",
        f"failures    {outcome.failed:>12,}",
    ]
    if outcome.again:
        lossless = sorted(filter(routes.is_lossless, outcome.again_feeds))
        twice = f"  ({', '.join(lossless)}: these may be there twice)" if lossless else ""
        lines.append(f"sent again  {outcome.again:>12,}{twice}")
    return "\n".join(lines) + "\n"


def _hint(outcome: Outcome, routes: Routes) -> str:
    if not outcome.unroutable_feeds:
        return ""
    lossless = sorted(filter(routes.is_lossless, outcome.unroutable_feeds))
    if lossless:
        feeds = ", ".join(lossless)
        return f"  ({feeds}: no stream is bound; the next start makes it, if broker.declare may)"
    feeds = ", ".join(sorted(outcome.unroutable_feeds))
    return f"  ({feeds}: no queue is bound; no `tickfan serve` is connected)"
