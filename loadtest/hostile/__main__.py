"""``make hostile``: the command line, the machine's part, and the table."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from loadtest.hostile.run import BACK, SETTINGS, Figures, run
from loadtest.rig.process import ServiceProcess
from loadtest.rig.rabbitmq import RabbitNode

EXCHANGE = "prices"
SETTLES_S = 30
"""How long the service has for giving memory back: its collector comes seldom."""


class Row(NamedTuple):
    """A line of the table: what was measured, what is allowed, and whether it holds."""

    what: str
    value: str
    allowed: str
    holds: bool


def rows(figures: Figures) -> list[Row]:
    """The lines of the table."""
    ratio = figures.p99_attacked / figures.p99_alone
    back = figures.memory_after / figures.memory_before
    return [
        Row("updates that came to healthy clients", f"{figures.seen:,}", "", figures.seen > 0),
        Row("gaps, ends and breaks among them", f"{len(figures.broken)}", "0", not figures.broken),
        Row("p99 of their age, alone", _ms(figures.p99_alone), "", True),
        Row("p99 of their age, attacked", _ms(figures.p99_attacked), "under twice", ratio < 2),
        Row("longest slice, alone", _ms(figures.held_alone), "", True),
        Row("longest slice", _ms(figures.held), "under 50 ms", figures.held < 0.05),
        Row("memory before", _mib(figures.memory_before), "", True),
        Row("most memory", _mib(figures.memory_most), "", True),
        Row("memory after", _mib(figures.memory_after), "within 5 %", back <= BACK),
        Row("sockets left", f"{figures.sockets_left:.0f}", "0", figures.sockets_left <= 0),
        Row("tasks left", f"{figures.tasks_left:.0f}", "0", figures.tasks_left <= 0),
    ]


def show(figures: Figures, console: Console) -> bool:
    """Print the tables; whether all holds."""
    table = Table(title="Hostile load")
    for heading in ("", "measured", "allowed"):
        table.add_column(heading)
    found = rows(figures)
    for row in found:
        table.add_row(row.what, row.value, row.allowed, style="" if row.holds else "bold red")
    console.print(table)
    for title, counts in (("done", figures.done), ("counted by the service", figures.refused)):
        console.print(f"{title}: " + ", ".join(f"{n} {v:.0f}" for n, v in counts.items()))
    for line in figures.broken[:5]:
        console.print(line, style="bold red")
    return all(row.holds for row in found)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _mib(size: float) -> str:
    return f"{size / 2**20:.1f} MiB"


async def _all(seconds: float, clients: int, channels: int) -> Figures:
    with tempfile.TemporaryDirectory() as directory:
        node = RabbitNode(Path(directory))
        service = ServiceProcess(Path(directory), {**SETTINGS, "BROKER__URL": node.url})
        try:
            await asyncio.to_thread(node.start)
            await asyncio.to_thread(service.start)
            return await run(
                service, urlsplit(node.url), EXCHANGE,
                seconds=seconds, clients=clients, channels=channels, settles_s=SETTLES_S,
            )  # fmt: skip
        finally:
            service.kill()
            node.close()


def main() -> None:
    """The command line; status 1 if something does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--channels", type=int, default=100_000)
    given = parser.parse_args()
    figures = asyncio.run(_all(given.seconds, given.clients, given.channels))
    sys.exit(0 if show(figures, Console(width=100)) else 1)


if __name__ == "__main__":
    main()
