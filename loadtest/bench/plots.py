"""A line plot as SVG, both axes logarithmic. Numbers in, text out."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 200, 40, 50
COLOURS = ("#1b6ca8", "#d1495b", "#2e8b57", "#8e6c8a", "#c98b00", "#444444", "#00a0a0", "#a05000")


class Series(NamedTuple):
    """One line. Points of which a value is not above zero are left out."""

    name: str
    points: Sequence[tuple[float, float]]


class _Axis:
    """Whole decades around the values, mapped to pixels."""

    def __init__(self, values: Sequence[float], begin: float, end: float) -> None:
        self._low = math.floor(math.log10(min(values)))
        self._high = max(math.ceil(math.log10(max(values))), self._low + 1)
        self._begin, self._end = begin, end

    def at(self, value: float) -> float:
        """Where a value is, in pixels."""
        share = (math.log10(value) - self._low) / (self._high - self._low)
        return self._begin + share * (self._end - self._begin)

    @property
    def ticks(self) -> list[float]:
        """The decades."""
        return [10.0**power for power in range(self._low, self._high + 1)]


def plot(title: str, x_name: str, y_name: str, series: Sequence[Series]) -> str:
    """The picture. There must be at least one point above zero."""
    lines = [Series(s.name, [p for p in s.points if p[0] > 0 and p[1] > 0]) for s in series]
    points = [point for line in lines for point in line.points]
    x = _Axis([point[0] for point in points], LEFT, WIDTH - RIGHT)
    y = _Axis([point[1] for point in points], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">',
        "<style>text { font: 12px sans-serif }</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="22">{escape(title)}</text>',
        *_grid(x, y),
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}">{escape(x_name)}</text>',
        f'<text x="12" y="{TOP - 8}">{escape(y_name)}</text>',
    ]
    for index, line in enumerate(lines):
        parts += _line(line, x, y, index)
    return "\n".join([*parts, "</svg>\n"])


def gallery(plots: Sequence[str], columns: int = 2) -> str:
    """Several pictures of :func:`plot` as one, row by row."""
    rows = -(-len(plots) // columns)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH * columns} {HEIGHT * rows}">'
    ]
    for index, picture in enumerate(plots):
        row, column = divmod(index, columns)
        place = f'x="{column * WIDTH}" y="{row * HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
        parts.append(f"<svg {place}>{picture}</svg>")
    return "\n".join([*parts, "</svg>\n"])


def _grid(x: _Axis, y: _Axis) -> list[str]:
    parts = []
    for tick in x.ticks:
        at = f"{x.at(tick):.1f}"
        parts.append(f'<path d="M{at} {TOP}V{HEIGHT - BOTTOM}" stroke="#dddddd"/>')
        parts.append(
            f'<text x="{at}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{_short(tick)}</text>'
        )
    for tick in y.ticks:
        at = f"{y.at(tick):.1f}"
        parts.append(f'<path d="M{LEFT} {at}H{WIDTH - RIGHT}" stroke="#dddddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at}" text-anchor="end">{_short(tick)}</text>')
    return parts


def _line(line: Series, x: _Axis, y: _Axis, index: int) -> list[str]:
    colour = COLOURS[index % len(COLOURS)]
    places = [(f"{x.at(px):.1f}", f"{y.at(py):.1f}") for px, py in line.points]
    way = " ".join(f"{a},{b}" for a, b in places)
    label = TOP + 16 * index + 8
    return [
        f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>',
        *(f'<circle cx="{a}" cy="{b}" r="3" fill="{colour}"/>' for a, b in places),
        f'<text x="{WIDTH - RIGHT + 12}" y="{label}" fill="{colour}">{escape(line.name)}</text>',
    ]


def _short(value: float) -> str:
    if value >= 1_000_000:
        return f"{value / 1_000_000:g}M"
    if value >= 1000:
        return f"{value / 1000:g}k"
    return f"{value:g}"
