"""A long run of the survival test: ``make soak``, by hand.

The same stage, followers and faults as ``tests/integration/test_survival.py``,
for minutes: what it prints is kept in docs/reliability.md.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import logging
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from loadtest.rig.faults import schedule
from loadtest.rig.rabbitmq import RabbitNode
from loadtest.rig.survival import SEED, Run


async def soak(messages: int, faults: int, followers: int, seed: int) -> str:
    """Run it and return the report. Raises if an update was lost or doubled."""
    with tempfile.TemporaryDirectory() as directory:
        node = RabbitNode(Path(directory))
        node.start()
        version = node.version
        try:
            begin = time.monotonic()
            run = Run(node, Path(directory), channels=20, seed=seed, deadline_s=7200)
            with _progress() as progress:
                bar = progress.add_task("messages", total=messages)
                async with run.following(followers) as tasks:
                    for fault in schedule(seed, faults, len(run.stage.replicas)):
                        progress.update(bar, description=fault.kind)
                        playing = tasks.create_task(run.stage.play(fault))
                        await run.publisher.publish(messages // faults)
                        await playing
                        progress.update(bar, completed=run.publisher.count)
            run.verify()
        finally:
            node.close()
    kinds = collections.Counter(line.split(" ")[0] for line in run.stage.done)
    lines = [f"{count:4} x {kind}" for kind, count in sorted(kinds.items())]
    return (
        f"RabbitMQ {version}, seed {seed}, {time.monotonic() - begin:.0f} s\n"
        f"{run.figures}\n{len(run.stage.done)} faults:\n" + "\n".join(lines)
    )


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description:>24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--followers", type=int, default=50)
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # a traceback at each cut
    report = asyncio.run(soak(given.messages, given.faults, given.followers, given.seed))
    Console().print(report, highlight=False)


if __name__ == "__main__":
    main()
