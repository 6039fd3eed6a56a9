"""E, F and G in turns: the cost of a connection, beside stalled clients, and of ingest.

Must not know how turns are put together, nor how results are shown.
"""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from loadtest.bench.machine import Child, cpu_s
from loadtest.bench.publish import PublishSpec
from loadtest.bench.shapes import TRADE, quotes
from loadtest.bench.special import F_HEALTHY, F_SAMPLE, F_STALLED, ages, fill, load, pid_of, rate
from loadtest.bench.subject import QUOTES, TRADES, own_exchange, service
from loadtest.bench.turns import CPU

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from loadtest.bench.builds import Build
    from loadtest.bench.run import Bench
    from loadtest.bench.turns import Figures, Plan, Subject

    Openings = Mapping[str, Callable[[ExitStack], Subject]]
    Builds = Mapping[str, Build]
    Found = Iterator[tuple[str, Openings]]

E_TURN = 2000
"""Connections of a turn, half WebSocket and half SSE."""
E_LEAVE_S = 30.0
F_FILL_S = 3.0
"""After so long the buffers of a stalled client are full."""
G_TURN = {1: 40_000, 20: 8000, 100: 2000}
"""Messages of a turn, by the updates in each."""
SETTLE_S = 0.5


def connects(
    bench: Bench, builds: Mapping[str, Build], plan: Plan
) -> Iterator[tuple[str, Openings]]:
    """E."""
    del plan
    yield (
        "E connections",
        {name: partial(Connects, bench=bench, build=build) for name, build in builds.items()},
    )


def stalls(bench: Bench, builds: Builds, plan: Plan) -> Found:
    """F."""
    yield (
        "F beside stalled",
        {
            name: partial(Stalled, bench=bench, build=build, plan=plan)
            for name, build in builds.items()
        },
    )


def ingests(
    bench: Bench, builds: Mapping[str, Build], plan: Plan
) -> Iterator[tuple[str, Openings]]:
    """G, each of its kinds."""
    del plan
    for batch in (1, 20, 100):
        yield (
            f"G queue, {batch} a message",
            {
                name: partial(FromQueue, bench=bench, build=build, batch=batch)
                for name, build in builds.items()
            },
        )
    for batch in (1, 20):
        yield (
            f"G stream, {batch} a message",
            {
                name: partial(FromStream, bench=bench, build=build, batch=batch)
                for name, build in builds.items()
            },
        )


class Connects:
    """Clients come, subscribe and leave."""

    def __init__(self, stack: ExitStack, *, bench: Bench, build: Build) -> None:
        self._process = stack.enter_context(
            service(bench.directory, bench.node.url, bench.cores, build=build)
        )
        self._pid = pid_of(self._process)

    def turn(self) -> Figures:
        """See :class:`.turns.Subject`."""
        common: dict[str, Any] = {"channels": TRADE, "lossless": True}
        with ExitStack() as clients:
            loads = [
                load(clients, self._process, 0, **common),
                load(clients, self._process, 1, path="/v1/sse", wire="sse", **common),
            ]
            came = cpu_s(self._pid)
            for child in loads:
                child.ask(f"open {E_TURN // len(loads)}")
            came, left = cpu_s(self._pid) - came, cpu_s(self._pid)
        deadline = time.monotonic() + E_LEAVE_S
        while self._process.stats()["connections"]:
            if time.monotonic() > deadline:
                raise RuntimeError("clients have left, and the service keeps them")
            time.sleep(0.1)
        left = cpu_s(self._pid) - left
        return {f"{CPU} a connect": came * 1e6 / E_TURN, f"{CPU} a leave": left * 1e6 / E_TURN}

    def check(self) -> str:
        """See :class:`.turns.Subject`. Who is refused ends the turn."""
        return "ok"


class Stalled:
    """The healthy beside those that do not read, whose buffers are full."""

    def __init__(self, stack: ExitStack, *, bench: Bench, build: Build, plan: Plan) -> None:
        self._plan = plan
        exchange = own_exchange()
        # Nobody is closed for having stalled in the turns of others.
        process = stack.enter_context(
            service(
                bench.directory, bench.node.url, bench.cores, build=build, exchange=exchange,
                settings={"STREAM__STALL_TIMEOUT_S": "3600"},
            )
        )  # fmt: skip
        self._pid = pid_of(process)
        common: dict[str, Any] = {"channels": ["quotes.#"], "interval_ms": 100}
        self._bulk = load(stack, process, 0, **common)
        self._sample = load(stack, process, 1, decode=True, **common)
        asleep = load(stack, process, 2, **common)
        for _ in range(F_SAMPLE):
            self._bulk.ask(f"open {F_HEALTHY // F_SAMPLE}")
            self._sample.ask("open 1")
            asleep.ask(f"open {F_STALLED // F_SAMPLE}")
        asleep.ask("stall")
        spec = PublishSpec(bench.node.port, quotes(100), rate=5000, batch=50, exchange=exchange)
        self._publisher = stack.enter_context(Child("loadtest.bench.publish", spec.text()))
        self._publisher.read()
        self._publisher.tell("go")
        time.sleep(F_FILL_S)
        self._publisher.ask("pause")

    def turn(self) -> Figures:
        """See :class:`.turns.Subject`."""
        self._publisher.tell("go")
        time.sleep(self._plan.warm_s)
        self._bulk.ask("mark")
        ages(self._sample)
        cpu = cpu_s(self._pid)
        time.sleep(self._plan.measure_s)
        cpu = cpu_s(self._pid) - cpu
        bulk, sample = self._bulk.ask("mark"), ages(self._sample)
        self._publisher.ask("pause")
        time.sleep(SETTLE_S)
        found = {f"{CPU} an update": cpu * 1e6 / bulk["updates"]}
        p99 = sample.percentile_ms(0.99)
        return found if p99 is None else {**found, "age p99 ms": p99}

    def check(self) -> str:
        """See :class:`.turns.Subject`."""
        final = json.dumps(self._publisher.ask("stop")["final"])
        time.sleep(SETTLE_S)
        end = self._sample.ask(f"finish {final}")
        return ", ".join(f"{what}: {count}" for what, count in end["wrong"].items()) or "ok"


class FromQueue:
    """The service is stopped while its queue fills, and then goes on."""

    def __init__(self, stack: ExitStack, *, bench: Bench, build: Build, batch: int) -> None:
        self._bench, self._batch, self._exchange = bench, batch, own_exchange()
        self._process = stack.enter_context(
            service(
                bench.directory, bench.node.url, bench.cores, build=build, exchange=self._exchange
            )
        )
        self._had = 0

    def turn(self) -> Figures:
        """See :class:`.turns.Subject`."""
        messages, batch = G_TURN[self._batch], self._batch
        pid = pid_of(self._process)
        os.kill(pid, signal.SIGSTOP)
        try:
            fill(self._bench, quotes(1000), batch, messages, self._exchange)
        finally:
            os.kill(pid, signal.SIGCONT)
        found = rate(self._bench, self._process, QUOTES, messages, batch, had=self._had)
        self._had += messages
        return ingested(found, messages)

    def check(self) -> str:
        """See :class:`.turns.Subject`. A turn has found what is missing."""
        return "ok"


class FromStream:
    """A new process in each turn reads the same stream back."""

    def __init__(self, stack: ExitStack, *, bench: Bench, build: Build, batch: int) -> None:
        del stack
        self._bench, self._batch = bench, batch
        exchange = own_exchange()
        self._again = partial(
            service, bench.directory, bench.node.url, bench.cores, build=build,
            exchange=exchange, prefix=f"{exchange}.",
        )  # fmt: skip
        channels = [f"trades.T{index:04d}" for index in range(1000)]
        with self._again():
            fill(bench, channels, batch, G_TURN[batch], exchange)

    def turn(self) -> Figures:
        """See :class:`.turns.Subject`."""
        messages = G_TURN[self._batch]
        with self._again(warm="1h", wait=False) as process:
            return ingested(rate(self._bench, process, TRADES, messages, self._batch), messages)

    def check(self) -> str:
        """See :class:`.turns.Subject`. A turn has found what is missing."""
        return "ok"


def ingested(found: Mapping[str, Any], messages: int) -> Figures:
    """The figures of a turn. Raises :class:`RuntimeError` if not all has come."""
    if found["messages"] != messages:
        raise RuntimeError(f"{found['messages']} messages came of {messages}")
    return {f"{CPU} an update": found["cpu_us_an_update"], "updates/s": found["updates_per_s"]}
