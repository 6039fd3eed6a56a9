"""`python -m loadtest.bench`, or `make bench ARGS="--quick --shapes A,B"`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from loadtest.bench import growth, special
from loadtest.bench.machine import Cores, describe, prefer
from loadtest.bench.report import missed, relate, table, write
from loadtest.bench.run import Bench, absent, versions
from loadtest.bench.shapes import NAMES, STEADY
from loadtest.bench.steady import Row, Span
from tests.support.rabbitmq import RabbitNode, find_server

QUICK, SUSTAINED = Span(1.5, 4, settle_s=3), Span(10, 60)
Special = Callable[[Bench], dict[str, object]]
SPECIAL: dict[str, Special] = {
    "E": special.connections,
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
    parser.add_argument(
        "--growth", action="store_true", help="instead: cost over clients, rate, channels, layouts"
    )
    parser.add_argument("--alone", action="store_true", help="without the peers")
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
        return _measure(Path(name), options, wanted, console, cores, about, without)


def _measure(  # noqa: PLR0913 - the parts of main
    directory: Path,
    options: argparse.Namespace,
    wanted: list[str],
    console: Console,
    cores: Cores,
    about: dict[str, str],
    without: dict[str, str],
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
                status.update, without, options.quick,
            )  # fmt: skip
            if options.growth:
                bench.span = growth.SPAN
                return growth.measure(bench, options.out, about, console)
            for shape in STEADY:
                if shape.name in wanted:
                    rows += bench.shape(shape)
                    console.print(f"{shape.name} is done")
            for letter, measure in SPECIAL.items():
                if letter in wanted:
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


if __name__ == "__main__":
    sys.exit(main())
