"""`make bench ARGS="--growth"`: how the cost grows when one thing grows, the others fixed.

Must not know how a point is measured: each is a steady shape, checked as all are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loadtest.bench.plots import Series, gallery, plot
from loadtest.bench.report import document, number
from loadtest.bench.shapes import Shape, quotes
from loadtest.bench.steady import Row, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

    from loadtest.bench.run import Bench

SPAN = Span(1, 3)
"""Short: there are some twenty-five points, and each starts a service."""
MANY = 1000
"""Clients of the axes on which subscriptions differ."""
BEHIND = 0.05
"""Of what was delivered: by more than that a backlog must not have grown."""

HEADS = (
    "what grows", "to", "audiences", "delivered/s", "updates a write", "CPU us", "us a write",
    "core", "age p50 ms", "p99", "memory MB", "KB/s each", "others", "checked",
)  # fmt: skip


@dataclass(frozen=True)
class Axis:
    """One thing that grows through ``values``; ``fixed`` says what does not."""

    name: str
    fixed: str
    values: tuple[int, ...]
    shape: Callable[[int], Shape]


@dataclass(frozen=True)
class Point:
    """What was measured at one value of an axis."""

    axis: str
    value: int
    row: Row

    @property
    def verdict(self) -> str:
        """What the checks say, and whether the rate was held (lossless only)."""
        row = self.row
        before, after = row.backlog
        if after - before > BEHIND * row.out_per_s * SPAN.measure_s:
            return f"{row.checked}, fell behind"
        return row.checked

    def as_dict(self) -> dict[str, Any]:
        """For the JSON file; single ages are of no use there."""
        return {"axis": self.axis, "value": self.value, **self.row.as_dict(), "ages": None}


def trades(count: int) -> list[str]:
    """``count`` lossless channels."""
    return [f"trades.T{index:04d}" for index in range(count)]


def _clients(value: int) -> Shape:
    return Shape("clients", f"{value} clients", value, 200)


def _rate(value: int) -> Shape:
    # Decoding at full rate is dear: few clients do it.
    return Shape("rate", f"{value}/s", 200, value, decode=3)


def _channels(value: int) -> Shape:
    return Shape(
        "channels", f"{value} channels", 500, 2000, quotes(value), subscribe=("quotes.#",),
        batch=20, lossless=False, interval_ms=100, decode=5,
    )  # fmt: skip


def _layouts(value: int) -> Shape:
    return Shape(
        "layouts", f"{value} layouts", MANY, 5000, quotes(500), batch=20, each=50,
        layouts=value % MANY, lossless=False, interval_ms=100,
    )  # fmt: skip


def _lossless_layouts(value: int) -> Shape:
    return Shape(
        "lossless layouts", f"{value} lossless layouts", MANY, 2000, trades(200), batch=20, each=2,
        layouts=value % MANY,
    )  # fmt: skip


def _screens(value: int) -> Shape:
    return Shape(
        "screens", f"{value} screens", value, 2000, quotes(1000), batch=20, each=50,
        lossless=False, interval_ms=250,
    )  # fmt: skip


AXES = (
    Axis("clients", "all on one lossless channel, 200 updates/s, each its own message",
         (100, 250, 500, 1000, 2000), _clients),
    Axis("rate", "updates/s of one lossless channel, each its own message; 200 clients",
         (50, 200, 1000, 3000, 10_000), _rate),
    Axis("channels", "conflated at 100 ms, all on all of them; 500 clients, 2,000 updates/s over "
         "all channels, 20 a message", (10, 100, 1000, 3000), _channels),
    Axis("layouts", "different subscriptions among 1,000 clients, each 50 of 500 conflated "
         "channels at 100 ms; 5,000 updates/s, 20 a message",
         (1, 10, 100, MANY), _layouts),
    Axis("lossless layouts", "the same, each 2 of 200 lossless channels; 2,000 updates/s, "
         "20 a message", (1, 100, MANY), _lossless_layouts),
    Axis("screens", "each its own 50 of 1,000 conflated channels at 250 ms; 2,000 updates/s, "
         "20 a message", (1000, 2000, 4000), _screens),
)  # fmt: skip


def measure(bench: Bench, directory: Path, about: Mapping[str, str], console: Console) -> int:
    """Measure all points, show and write them; 1 if one of them is not as promised."""
    points: list[Point] = []
    try:
        for axis in AXES:
            for value in axis.values:
                [row] = bench.shape(axis.shape(value))
                points.append(Point(axis.name, value, row))
            console.print(f"{axis.name}: {len(axis.values)} points are done")
    finally:
        if points:
            write(directory, points, about)
    console.print(markdown(points), soft_wrap=True, markup=False, highlight=False)
    console.print(f"in {directory}: growth.json, growth.md, growth.svg")
    return 1 if any(point.row.checked != "ok" for point in points) else 0


def cells(point: Point) -> tuple[str, ...]:
    """A point as a line of the table, in the order of :data:`HEADS`."""
    row = point.row
    a_write = row.out_per_s / row.writes_s if row.writes_s else None
    write_us = row.core * 1e6 / row.writes_s if row.writes_s else None
    return (
        point.axis, number(point.value, 0), number(row.extra.get("audiences"), 0),
        number(row.out_per_s, 0), number(a_write),
        number(row.cpu_us, 2 if (row.cpu_us or 1) >= 1 else 3), number(write_us),
        number(row.core, 2), number(row.p50_ms), number(row.p99_ms), number(row.rss_mb, 0),
        number(row.kb_s_client), number(row.parts.get("others"), 2), point.verdict,
    )  # fmt: skip


def markdown(points: Sequence[Point]) -> str:
    """What is fixed on each axis, and the table: a section for a document."""
    names = {point.axis for point in points}
    fixed = [f"- **{axis.name}**: {axis.fixed}" for axis in AXES if axis.name in names]
    return "\n".join(fixed) + "\n\n" + document(HEADS, map(cells, points))


def picture(points: Sequence[Point]) -> str:
    """A plot for each axis: cost, age and memory over what grows."""
    return gallery(
        [
            plot(f"Cost against {axis.name}", axis.name, "", lines)
            for axis in AXES
            if (lines := _lines(point for point in points if point.axis == axis.name))
        ]
    )


def _lines(points: Iterable[Point]) -> list[Series]:
    lines: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        row = point.row
        for name, value in (
            ("CPU us an update", row.cpu_us),
            ("% of a core", row.core * 100),
            ("age p99 ms", row.p99_ms),
            ("memory MB", row.rss_mb),
        ):
            if value:
                lines.setdefault(name, []).append((point.value, value))
    return [Series(name, line) for name, line in lines.items()]


def write(directory: Path, points: Sequence[Point], about: Mapping[str, str]) -> None:
    """Leave growth.json, growth.md and growth.svg in ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    found = {"about": dict(about), "points": [point.as_dict() for point in points]}
    (directory / "growth.json").write_text(json.dumps(found, indent=1, default=str))
    (directory / "growth.md").write_text(markdown(points))
    (directory / "growth.svg").write_text(picture(points))
