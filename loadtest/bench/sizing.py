"""`python -m loadtest.bench.sizing`: how many replicas, and what of RabbitMQ, for so many screens.

Prints the table of docs/scaling.md; words such as ``--team 20`` change the
workload. ``--update`` takes new figures from build/bench and writes them and
the tables into the document, which is where the figures live, and growth's own
table and picture into docs/benchmarks.md. Must not know the arithmetic
(:mod:`.capacity`).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadtest.bench.capacity import (
    CHECKED_SCREENS,
    Figures,
    Workload,
    ingest,
    market_max,
    replicas_a_node,
    screen,
    size,
)  # fmt: skip
from loadtest.bench.report import document, number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DOCUMENT = Path("docs/scaling.md")
BENCHMARKS, PICTURE = Path("docs/benchmarks.md"), Path("docs/growth.svg")
RESULTS = Path("build/bench")
SCREENS = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
BATCHES = (1, 20, 100)
TEAM = 20
"""A second row of replicas: so many screens each show the same."""


def of_growth(points: list[dict[str, Any]]) -> dict[str, float]:
    """The figures that growth.json has.

    Raises :class:`ValueError` if one of its points was not as promised.
    """
    for point in points:
        if point["checked"] != "ok":
            where = f"{point['axis']} {point['value']}"
            raise ValueError(f"growth at {where}: {point['checked']}: measure it again")
    last = {point["axis"]: point for point in points}
    shared, own = last["clients"], last["lossless layouts"]
    batch, screens = last["layouts"], last["screens"]
    own_us, updates = _write_us(own), batch["out_per_s"] / batch["writes_s"]
    start_mib = screens["extra"]["start_mb"]
    return {
        "write_us": _write_us(shared),
        "own_us": own_us,
        "update_us": max(0.0, (_write_us(batch) - own_us) / (updates - 1)),
        "update_bytes": batch["kb_s_client"] * 1000 * batch["clients"] / batch["out_per_s"],
        "lossless_bytes": own["bytes_write"],
        "screen_kib": (screens["rss_mb"] - start_mib) * 1024 / screens["clients"],
        "screens_core": screens["core"],
        "start_mib": start_mib,
    }


def _write_us(point: dict[str, Any]) -> float:
    return float(point["core"] * 1e6 / point["writes_s"])


def of_special(special: Mapping[str, Any]) -> dict[str, float]:
    """The figures that result.json has, if E and G were run."""
    found: dict[str, float] = {}
    if "E" in special:
        found["connect_us"] = 1e6 / special["E"]["connects_per_s_of_server_cpu"]
    if "G" in special:
        runs = special["G"]
        single = runs["stream at start, 1 update a message"]["cpu_us_a_message"]
        twenty = runs["stream at start, 20 updates a message"]["cpu_us_a_message"]
        found["ingest_us"] = (twenty - single) / 19
        found["message_us"] = single - found["ingest_us"]
        found["broker_us"] = max(
            run["parts"]["broker"] * 1e6 / run["messages_per_s"]
            for name, run in runs.items()
            if ", 20 " in name
        )
    return found


def figures_in(text: str) -> Figures:
    """The figures of the document. Raises :class:`ValueError` where one is missing."""
    found = dict(re.findall(r"^\| `(\w+)` \| ([0-9.e+-]+) \|", text, re.MULTILINE))
    if missing := {field.name for field in fields(Figures)} - set(found):
        raise ValueError(f"the document has no figure {', '.join(sorted(missing))}")
    return Figures(**{field.name: float(found[field.name]) for field in fields(Figures)})


def blocks(figures: Figures, load: Workload) -> dict[str, str]:
    """What stands between the marks of the document, by name."""
    return {
        "figures": document(
            ("figure", "value", "what", "shown by"),
            [
                (f"`{f.name}`", f"{getattr(figures, f.name):g}", f.metadata["text"],
                 f.metadata["source"])
                for f in fields(figures)
            ],
        ),
        "workload": document(
            ("assumed", "value", "what"),
            [
                (f"`{_option(f.name)}`", f"{getattr(load, f.name):g}", f.metadata["text"])
                for f in fields(load)
            ],
        ),
        "sizes": sizes(figures, load),
        "ends": ends(figures, load),
    }  # fmt: skip


def sizes(figures: Figures, load: Workload, screens: Sequence[int] = SCREENS) -> str:
    """What a screen takes, in a sentence, and the table."""
    found = [size(count, figures, load) for count in screens]
    shared = [size(count, figures, replace(load, team=TEAM)) for count in screens]
    lines = {
        "replicas, a core each": [number(s.replicas, 0) for s in found],
        f"… if {TEAM} screens each show the same": [number(s.replicas, 0) for s in shared],
        "screens each": [number(s.screens_each, 0) for s in found],
        "bound by": [s.bound_by for s in found],
        "of its core": [number(s.busy, 2) for s in found],
        "of its core, a zone lost": [number(s.busy_zone_lost, 2) for s in found],
        "MiB of a replica, a zone lost": [number(s.memory_mib, 0) for s in found],
        "s of work to let a lost zone's screens in": [number(s.reconnect_s) for s in found],
        "to screens, Gbit/s": [number(s.clients_gbit, 2) for s in found],
        "from RabbitMQ, messages/s": [number(s.broker_messages, 0) for s in found],
        "from RabbitMQ, Gbit/s": [number(s.broker_gbit, 2) for s in found],
        "RabbitMQ, cores to hand them out": [number(s.broker_cores) for s in found],
        "RabbitMQ, nodes": [number(s.broker_nodes, 0) for s in found],
    }
    one = screen(figures, load)
    return (
        f"A screen takes {one.updates:,.0f} updates in {one.writes:,.0f} writes a second: "
        f"{one.cpu_us:,.0f} us of a core, {one.bytes / 1000:,.1f} KB. The market takes "
        f"{ingest(figures, load):.2f} of each replica's core before the first screen. "
        f"{_held_to(figures)}\n\n"
        + document(
            ("screens", *(f"{count:,}" for count in screens)),
            [(name, *cells) for name, cells in lines.items()],
        )
    )


def ends(figures: Figures, load: Workload) -> str:
    """The bounds of one process and of one RabbitMQ node."""
    loads = [replace(load, per_message=count) for count in BATCHES]
    lines = {
        "updates/s at which a replica has nothing left for screens": [
            number(market_max(figures, each), 0) for each in loads
        ],
        "replicas that one RabbitMQ node feeds with this market": [
            number(replicas_a_node(figures, each), 0) for each in loads
        ],
    }
    return document(
        ("updates in a message", *map(str, BATCHES)),
        [(name, *cells) for name, cells in lines.items()],
    )


def _held_to(figures: Figures) -> str:
    """What the model says of a point that was measured: growth's last of ``screens``."""
    load = Workload(lossless_channels=0, trades_per_s=0, quotes_per_s=2000, quotes_channels=1000)
    says = ingest(figures, load) + CHECKED_SCREENS * screen(figures, load).cpu_us / 1e6
    return (
        f"Held to what was measured: {CHECKED_SCREENS:,} screens with the conflated half of this "
        f"took {figures.screens_core:.2f} of a core, and the arithmetic says {says:.2f}."
    )


def updated(text: str, found: Mapping[str, str]) -> str:
    """The document with new blocks. Raises :class:`ValueError` where a mark is missing."""
    for name, block in found.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"the document has no place for {name}: {begin.strip()} … {end}")
        head, rest = text.split(begin)
        text = f"{head}{begin}{block}{end}{rest.partition(end)[2]}"
    return text


def measured(directory: Path, old: Figures) -> tuple[Figures, list[str]]:
    """New figures, to three digits, and the names of those that nothing new is known of."""
    new: dict[str, float] = {}
    if (growth := directory / "growth.json").exists():
        new |= of_growth(json.loads(growth.read_text())["points"])
    if (result := directory / "result.json").exists():
        new |= of_special(json.loads(result.read_text())["special"])
    kept = [name for name in asdict(old) if name not in new]
    return replace(old, **{name: float(f"{value:.3g}") for name, value in new.items()}), kept


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The command line: each part of the workload is an option."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench.sizing", description=__doc__)
    parser.add_argument("--update", action="store_true", help="write the documents anew")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help="where growth.json and result.json are"
    )
    parser.add_argument(
        "--screens", type=_numbers, default=SCREENS, help="how many there are: 5000,20000"
    )
    for assumed in fields(Workload):
        kind = type(assumed.default)
        text = f"{assumed.metadata['text']} ({assumed.default:g})"
        parser.add_argument(_option(assumed.name), type=kind, default=assumed.default, help=text)
    return parser.parse_args(words)


def _update(results: Path, old: Figures) -> Figures:
    figures, kept = measured(results, old)
    DOCUMENT.write_text(updated(DOCUMENT.read_text(), blocks(figures, Workload())))
    if (table := results / "growth.md").exists():
        BENCHMARKS.write_text(updated(BENCHMARKS.read_text(), {"growth": table.read_text()}))
        PICTURE.write_text((results / PICTURE.name).read_text())
    if kept:
        sys.stderr.write(f"nothing new in {results}, kept: {', '.join(kept)}\n")
    return figures


def main() -> int:
    """Print the table; 2 if the workload cannot be served."""
    options = vars(arguments())
    is_update, results, screens = (options.pop(name) for name in ("update", "results", "screens"))
    try:
        figures = figures_in(DOCUMENT.read_text())
        if is_update:
            figures = _update(results, figures)
        sys.stdout.write(sizes(figures, Workload(**options), screens))
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
