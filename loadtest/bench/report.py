"""The result: a table, a JSON file, plots. Must not know how it was measured."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.table import Table

from loadtest.bench.histogram import Histogram
from loadtest.bench.plots import Series, plot
from loadtest.bench.shapes import STEADY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from loadtest.bench.steady import Row

HEADS = (
    "shape", "server", "delivered/s", "CPU us", "core", "of nchan", "of raw send", "age p50 ms",
    "p99", "p99.9", "KB/s each", "RSS MB", "hold ms", "others", "checked",
)  # fmt: skip


RATE_MIN = 1000
"""Deliveries a second below which a cost for each says nothing."""

BEHIND_S_MAX = 1.0
"""Deliveries of so many seconds may have come to wait; above it, it is no steady load."""

DASH = "\N{EN DASH}"


def is_held(row: Row) -> bool:
    """Whether what was due was delivered while it was measured, not only in the end."""
    before, after = row.backlog
    return after - before <= BEHIND_S_MAX * row.in_per_s * row.clients


def relate(rows: Iterable[Row]) -> None:
    """Give each of our rows its ratio to nchan's cost on the same wire.

    Where nchan was not run, or could not hold the rate, its cost in a shape
    that it did hold counts.
    """
    rows = list(rows)
    for wire in ("WebSocket", "SSE"):
        peers = [
            row
            for row in rows
            if row.server == f"nchan {wire}" and row.cpu_us and row.checked == "ok" and is_held(row)
        ]
        for row in rows:
            if row.server != f"tickfan {wire}" or not row.cpu_us or not peers:
                continue
            if row.out_per_s < RATE_MIN:
                continue
            same = [peer for peer in peers if peer.shape == row.shape]
            costs = [peer.cpu_us for peer in same or peers if peer.cpu_us]
            row.of_nchan = row.cpu_us / min(costs)


def number(value: float | None, digits: int = 1) -> str:
    """A number for the table, a dash where there is none."""
    return DASH if value is None else f"{value:,.{digits}f}"


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table, in the order of :data:`HEADS`."""
    cost_digits = 2 if (row.cpu_us or 1) >= 1 else 3
    return (
        row.shape, row.server, number(row.out_per_s, 0), number(row.cpu_us, cost_digits),
        number(row.core, 2), number(row.of_nchan, 2), number(row.of_raw, 2), number(row.p50_ms),
        number(row.p99_ms), number(row.p999_ms), number(row.kb_s_client), number(row.rss_mb, 0),
        number(row.slice_ms), number(row.parts.get("others"), 2), row.checked,
    )  # fmt: skip


def missed(rows: Iterable[Row]) -> list[str]:
    """What was not reached, a sentence each."""
    reaches = {shape.name: shape for shape in STEADY}
    found: list[str] = []
    for row in rows:
        shape = reaches.get(row.shape)
        if shape is None or row.server != "tickfan WebSocket":
            continue
        for what, got, most in (
            ("age p99, ms", row.p99_ms, shape.age_p99_ms),
            ("CPU a delivery, us", row.cpu_us, shape.cost_us),
            ("of nchan's cost", row.of_nchan, shape.of_nchan),
            ("KB/s a subscriber", row.kb_s_client, shape.kb_s),
        ):
            if most is not None and got is not None and got > most:
                found.append(f"{row.shape}: {what}: {got:.2f}, wanted at most {most:g}")
        if row.checked != "ok":
            found.append(f"{row.shape}: {row.checked}")
    return found


def table(rows: Sequence[Row]) -> Table:
    """For the terminal."""
    shown = Table(*HEADS, title="Server CPU for each delivered update, and what else it takes")
    for row in rows:
        shown.add_row(*cells(row))
    return shown


def markdown(rows: Sequence[Row]) -> str:
    """The same table for a document."""
    return document(HEADS, map(cells, rows))


def document(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    rows = [heads, ("---",) * len(heads), *lines]
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def write(
    directory: Path, rows: Sequence[Row], special: Mapping[str, object], about: Mapping[str, str]
) -> None:
    """Leave result.json, result.md and the plots in ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    result = {
        "about": dict(about),
        "rows": [row.as_dict() for row in rows],
        "special": dict(special),
        "missed": missed(rows),
    }
    (directory / "result.json").write_text(json.dumps(result, indent=1, default=str))
    (directory / "result.md").write_text(markdown(rows))
    costs = {
        server: sorted(
            (row.out_per_s, row.cpu_us) for row in rows if row.server == server and row.cpu_us
        )
        for server in {row.server for row in rows}
    }
    series = [Series(server, points) for server, points in sorted(costs.items()) if points]
    if series:
        (directory / "cost.svg").write_text(
            plot("Server CPU for each delivered update", "delivered/s", "us", series)
        )
    ages = [
        Series(f"{row.shape} {row.server}", _distribution(row))
        for row in rows
        if row.ages and row.server.startswith("tickfan W")
    ]
    if ages:
        (directory / "age.svg").write_text(
            plot("Age of a price at the client", "ms", "share that is older", ages)
        )


def _distribution(row: Row) -> list[tuple[float, float]]:
    """For some shares of all updates, the age that they exceed."""
    ages = Histogram.from_pairs(row.ages)
    shares = (0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
    return [(ages.percentile_ms(1 - share) or 0.0, share) for share in shares]
