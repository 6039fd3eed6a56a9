"""`python -m loadtest.bench`, or `make bench ARGS="--quick --shapes A,B"`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from loadtest.bench import growth, special, turnreport, versus
from loadtest.bench.machine import Cores, describe, prefer
from loadtest.bench.report import missed, relate, table, write
from loadtest.bench.run import Bench, absent, versions
from loadtest.bench.shapes import NAMES, STEADY
from loadtest.bench.steady import Row, Span
from loadtest.releases import commits
from loadtest.rig.rabbitmq import RabbitNode, find_server

if TYPE_CHECKING:
    from loadtest.bench.builds import Build
    from loadtest.bench.turns import Series

QUICK, SUSTAINED = Span(1.5, 4, settle_s=3), Span(10, 60)
Special = Callable[[Bench], dict[str, object]]
SPECIAL: dict[str, Special] = {
    "E": special.connections,
    "E, TLS": partial(special.connections, tls=True),
    "F": special.stalled,
    "G": special.ingest,
}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench", description=__doc__)
    parser.add_argument(
        "--shapes", default=",".join(NAMES), help=f"of {','.join(NAMES)} (default: all)"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="4 s after 1.5 s, not 60 s after 10 s; peers in A only",
    )
    parser.add_argument(
        "--repeat", type=int, default=1, help="runs of our own rows; the least disturbed counts"
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--growth", action="store_true", help="instead: cost over clients, rate, channels, layouts"
    )
    instead.add_argument(
        "--vs",
        metavar="BUILD",
        help="instead: this build and another in turns, and the peers; a checkout's path,"
        f" or a release ({', '.join(commits())})",
    )
    parser.add_argument("--alone", action="store_true", help="without the peers")
    parser.add_argument("--tls", action="store_true", help="our rows and E also with TLS")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="for the results")
    return parser.parse_args()


def main() -> int:
    """Measure; status 1 if something that was counted is not as promised."""
    options = arguments()
    console = Console()
    wanted = options.shapes.split(",")
    if unknown := set(wanted) - set(NAMES):
        console.print(f"there is no shape {', '.join(unknown)}: there are {', '.join(NAMES)}")
        return 2
    if find_server() is None:
        console.print("RabbitMQ is not installed: scripts/system-packages gets it.")
        return 2
    rival: Build | None = None
    if options.vs:
        try:
            rival = versus.other(options.vs)
        except (LookupError, RuntimeError) as error:
            console.print(str(error), soft_wrap=True, markup=False, highlight=False)
            return 2
    cores = Cores()
    os.sched_setaffinity(0, cores.load)
    about = {**describe(), "command": " ".join(sys.orig_argv[1:])}
    without: dict[str, str] = {}
    if not (options.alone or options.growth):
        without = absent()
        about |= versions(without)
    for peer, reason in without.items():
        console.print(f"without {peer}: {reason}", style="yellow")
    with tempfile.TemporaryDirectory(prefix="tickfan-bench-") as name:
        return _measure(Path(name), options, wanted, console, cores, about, without, rival)


def _measure(  # noqa: PLR0913 - the parts of main
    directory: Path,
    options: argparse.Namespace,
    wanted: list[str],
    console: Console,
    cores: Cores,
    about: dict[str, str],
    without: dict[str, str],
    rival: Build | None,
) -> int:
    (directory / "rabbitmq").mkdir()
    node = RabbitNode(directory / "rabbitmq")
    rows: list[Row] = []
    results: dict[str, object] = {}
    with console.status("RabbitMQ starts") as status:
        try:
            node.start()
            prefer(node.pid)
            prefer(os.getpid())
            about["RabbitMQ"] = node.version
            span = QUICK if options.quick else SUSTAINED
            bench = Bench(
                directory, node, node.pid, cores, span, options.repeat, options.alone,
                status.update, without, options.quick, options.tls,
            )  # fmt: skip
            if options.growth:
                bench.span = growth.SPAN
                return growth.measure(bench, options.out, about, console)
            if rival is not None:
                return _in_turns(bench, rival, options, wanted, about, console)
            for shape in STEADY:
                if shape.name in wanted:
                    rows += bench.shape(shape)
                    console.print(f"{shape.name} is done")
            for letter, measure in SPECIAL.items():
                if letter[0] in wanted and (options.tls or "TLS" not in letter):
                    status.update(letter)
                    results[letter] = measure(bench)
                    console.print(letter, results[letter])
        finally:
            node.close()
            if rows or results:
                relate(rows)
                write(options.out, rows, results, about)
    if rows:
        console.print(table(rows))
    for line in missed(rows):
        console.print(f"missed: {line}", style="yellow")
    console.print(f"in {options.out}: result.json, result.md and plots")
    is_wrong = any(row.checked != "ok" for row in rows if row.server.startswith("tickfan"))
    return 1 if is_wrong else 0


def _in_turns(  # noqa: PLR0913 - the parts of main
    bench: Bench,
    rival: Build,
    options: argparse.Namespace,
    wanted: list[str],
    about: dict[str, str],
    console: Console,
) -> int:
    plan = versus.QUICK if options.quick else versus.SUSTAINED
    plan = replace(plan, rounds=plan.rounds * options.repeat)
    about |= {name: build.about() for name, build in versus.builds(rival).items()}
    found: list[Series] = []
    try:
        for series in versus.measured(bench, rival, plan, wanted):
            found.append(series)
            console.print(f"{series.title} is done")
    finally:
        turnreport.write(options.out, found, about)
    console.print(turnreport.tables(found), soft_wrap=True, markup=False, highlight=False)
    console.print(f"in {options.out}: versus.json, versus.md")
    return 0 if turnreport.is_held(found) else 1


if __name__ == "__main__":
    sys.exit(main())
