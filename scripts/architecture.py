#!/usr/bin/env python3
"""Draws docs/architecture.svg from the import contracts in pyproject.toml.

The picture shows what ``lint-imports`` holds, and nothing else: the layers of the
service, the layers within each room, and the other contracts as sentences. A module
that a contract names and that does not exist (one in brackets) is left out.

``scripts/architecture.py [OUT]`` writes to OUT, or to docs/architecture.svg.
"""

from __future__ import annotations

import re
import sys
import tomllib
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ROOT / "service"
WHOLE = "tickfan"

WIDTH = 880
EDGE = 16
GAP = 10
PAD = 10
ARROW = 18
"""Pixels between two floors, and between two steps of a room: room for an arrow."""
CHIP = 22
STACK_MAX = 4
"""Modules above each other in one step of a room; more stand in a second column."""
LINE = 17

LEGEND = """\
An arrow points to what may be imported: down from floor to floor, to the right within a room.
What stands side by side or in one stack knows nothing of each other. Two exceptions: modules in
a dashed frame, and a room within a room (its name has a dot), which stands beside the outer one.
"""

STYLE = """
  svg { --back: #f8fafc; --floor: #eef2f7; --room: #ffffff; --chip: #eff6ff; --rim: #cbd5e1;
        --blue: #93c5fd; --ink: #0f172a; --soft: #475569; --arrow: #64748b; }
  @media (prefers-color-scheme: dark) {
    svg { --back: #0d1117; --floor: #161b22; --room: #0d1117; --chip: #10233f; --rim: #30363d;
          --blue: #1f4e8c; --ink: #e6edf3; --soft: #9da7b3; --arrow: #8b949e; }
  }
  text { font: 12px system-ui, sans-serif; fill: var(--soft); }
  .room { font-weight: 600; font-size: 14px; fill: var(--ink); }
  .module { font: 11.5px ui-monospace, Menlo, Consolas, monospace; fill: var(--ink); }
  .back { fill: var(--back); rx: 12px; } .floor { fill: var(--floor); rx: 10px; }
  .box { fill: var(--room); stroke: var(--rim); rx: 7px; }
  .chip { fill: var(--chip); stroke: var(--blue); rx: 5px; }
  .pair { fill: none; stroke: var(--arrow); stroke-dasharray: 3 2; rx: 6px; }
  .arrow { fill: none; stroke: var(--arrow); stroke-width: 1.6; }
"""


class Layer(NamedTuple):
    """Modules of one layer; ``is_open``: they may import each other."""

    modules: list[str]
    is_open: bool


class Room(NamedTuple):
    """What is drawn as one box: a package with its layers, or a single module without any."""

    name: str
    sentence: str
    layers: list[Layer]


class Floor(NamedTuple):
    """Rooms on one layer of the service.

    ``is_chain``: single modules, each of which is a layer above the next.
    """

    rooms: list[Room]
    is_chain: bool


def exists(module: str) -> bool:
    """Whether there is a module or a package of this dotted name."""
    path = PACKAGES.joinpath(*module.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def layers_of(contract: dict[str, Any]) -> list[Layer]:
    """A contract's layers, from the highest down, with the modules that exist."""
    (container,) = contract["containers"]
    layers: list[Layer] = []
    for text in contract["layers"]:
        names = [name.strip(" ()") for name in re.split(r"[:|]", text)]
        there = [name for name in names if exists(f"{container}.{name}")]
        if there:
            layers.append(Layer(there, ":" in text))
    return layers


def read(pyproject: Path) -> tuple[list[Floor], list[str]]:
    """The floors from the highest down, and the sentences of all other contracts."""
    contracts = tomllib.loads(pyproject.read_text())["tool"]["importlinter"]["contracts"]
    layered = {c["containers"][0]: c for c in contracts if c["type"] == "layers"}
    floors: list[Floor] = []
    for layer in layers_of(layered[WHOLE]):
        rooms = [room for name in layer.modules for room in _rooms(name, layered)]
        is_single = len(rooms) == 1 and not rooms[0].layers
        if is_single and floors and floors[-1].is_chain:
            floors[-1].rooms.extend(rooms)
        else:
            floors.append(Floor(rooms, is_single))
    return floors, [c["name"] for c in contracts if c["type"] != "layers"]


def _rooms(name: str, layered: dict[str, dict[str, Any]]) -> list[Room]:
    """The room of this name, and those within it that have layers of their own."""
    rooms = [Room(name, "", [])]
    contract = layered.get(f"{WHOLE}.{name}")
    if contract is not None:
        sentence = contract["name"].partition(": ")[2] or contract["name"]
        rooms = [Room(name, sentence, layers_of(contract))]
        for layer in rooms[0].layers:
            for module in layer.modules:
                if f"{WHOLE}.{name}.{module}" in layered:
                    rooms += _rooms(f"{name}.{module}", layered)
    return rooms


def columns(layer: Layer) -> list[list[str]]:
    """The modules of one step, in stacks of about one height."""
    count = -(-len(layer.modules) // STACK_MAX)
    height = -(-len(layer.modules) // count)
    return [layer.modules[at : at + height] for at in range(0, len(layer.modules), height)]


def chip_width(names: list[str]) -> float:
    """What a stack of these modules takes: a character of the fixed font is 6.95 px."""
    return round(max(map(len, names)) * 6.95 + 14, 1)


def step_width(layer: Layer) -> float:
    """What one step of a room takes."""
    stacks = columns(layer)
    return sum(map(chip_width, stacks)) + 6 * (len(stacks) - 1)


def name_width(room: Room) -> float:
    """What a room's name takes; the fonts of most systems are narrower."""
    return len(room.name) * 9.2


def sentence_width(room: Room) -> float:
    """What a room's sentence takes; the fonts of most systems are narrower."""
    return len(room.sentence) * 6.7


def title_width(room: Room) -> float:
    """What a room's name and sentence take, on one line."""
    return name_width(room) + (sentence_width(room) + 8 if room.sentence else 0)


def is_wrapped(room: Room) -> bool:
    """Whether the sentence takes a line of its own: the room would be wide without a need."""
    return bool(room.layers) and title_width(room) > steps_width(room)


def steps_width(room: Room) -> float:
    """What the steps of a room take, side by side."""
    return sum(map(step_width, room.layers)) + ARROW * (len(room.layers) - 1)


def width_of(room: Room) -> float:
    """What the box of a room takes."""
    title = max(name_width(room), sentence_width(room))
    if not is_wrapped(room):
        title = title_width(room)
    return round(2 * PAD + max(title, steps_width(room)), 1)


def height_of(room: Room) -> float:
    """What the box of a room takes: its title, and the highest of its stacks."""
    stacks = [len(stack) for layer in room.layers for stack in columns(layer)]
    head = 30 + LINE * is_wrapped(room)
    return head if not stacks else head + max(stacks) * (CHIP + 4) + PAD - 2


def rows_of(rooms: list[Room]) -> list[list[Room]]:
    """The rooms of a floor in rows that fit."""
    rows: list[list[Room]] = [[]]
    free: float = WIDTH - 2 * EDGE - 2 * PAD
    left = free
    for room in rooms:
        if rows[-1] and width_of(room) > left:
            rows.append([])
            left = free
        rows[-1].append(room)
        left -= width_of(room) + GAP
    return rows


class Drawing:
    """Collects the picture's parts."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def box(self, kind: str, x: float, y: float, width: float, height: float) -> None:
        """A rectangle; how round it is belongs to its kind."""
        self.parts.append(
            f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"/>'
        )

    def text(self, kind: str, x: float, y: float, text: str, anchor: str = "start") -> None:
        """A line of text."""
        where = "" if anchor == "start" else f' text-anchor="{anchor}"'
        of = f' class="{kind}"' if kind else ""
        self.parts.append(f'<text{of} x="{x:g}" y="{y:g}"{where}>{escape(text)}</text>')

    def arrow(self, x: float, y: float, *, down: bool) -> None:
        """A short arrow, from here down or to the right."""
        turn = "v13m-4 -5 4 5 4-5" if down else "h13m-5 -4 5 4-5 4"
        self.parts.append(f'<path class="arrow" d="M{x:g} {y:g}{turn}"/>')

    def room(self, room: Room, x: float, y: float, width: float, height: float) -> None:
        """A box with a title, and the room's steps from the left to the right."""
        if not room.layers:  # a single module is as high as its title
            y, height = y + (height - height_of(room)) / 2, height_of(room)
        self.box("box", x, y, width, height)
        self.text("room", x + PAD, y + 20, room.name)
        top = y + 30
        if room.sentence and is_wrapped(room):
            self.text("", x + PAD, y + 20 + LINE, room.sentence)
            top += LINE
        elif room.sentence:
            self.text("", x + PAD + name_width(room) + 8, y + 20, room.sentence)
        middle = top + (y + height - PAD + 2 - top) / 2
        at = x + PAD
        for index, layer in enumerate(room.layers):
            if index:
                self.arrow(at + 2.5, middle, down=False)
                at += ARROW
            self.step(layer, at, middle)
            at += step_width(layer)

    def step(self, layer: Layer, x: float, middle: float) -> None:
        """The modules of one layer in stacks, around the room's middle."""
        stacks = columns(layer)
        for stack in stacks:
            width = chip_width(stack)
            y = middle - (len(stack) * (CHIP + 4) - 4) / 2
            if layer.is_open and len(layer.modules) > 1:
                self.box("pair", x - 3, y - 3, width + 6, len(stack) * (CHIP + 4) + 2)
            for name in stack:
                self.box("chip", x, y, width, CHIP)
                self.text("module", x + width / 2, y + 15, name, "middle")
                y += CHIP + 4
            x += width + 6


def draw(floors: list[Floor], sentences: list[str]) -> str:
    """The picture as SVG."""
    drawing = Drawing()
    y: float = EDGE
    for index, floor in enumerate(floors):
        if index:
            drawing.arrow(WIDTH / 2, y + 3, down=True)
            y += ARROW
        gap = ARROW + 8 if floor.is_chain else GAP
        rows = rows_of(floor.rooms)
        heights = [max(map(height_of, row)) for row in rows]
        height = sum(heights) + GAP * (len(rows) - 1) + 2 * PAD
        drawing.box("floor", EDGE, y, WIDTH - 2 * EDGE, height)
        y += PAD
        for row, row_height in zip(rows, heights, strict=True):
            total = sum(map(width_of, row)) + gap * (len(row) - 1)
            x = round((WIDTH - total) / 2, 1)
            for room in row:
                if floor.is_chain and room is not row[0]:
                    drawing.arrow(x - ARROW - 1, y + row_height / 2, down=False)
                drawing.room(room, x, y, width_of(room), row_height)
                x += width_of(room) + gap
            y += row_height + GAP
        y += PAD - GAP
    y += 30
    for sentence in LEGEND.splitlines():
        drawing.text("", EDGE + PAD, y, sentence)
        y += LINE
    y += LINE - 6
    drawing.text("room", EDGE + PAD, y, "And besides")
    half = -(-len(sentences) // 2)
    for index, sentence in enumerate(sentences):
        x = EDGE + PAD + (WIDTH / 2 - EDGE) * (index >= half)
        drawing.text("", x, y + LINE * (1 + index % half) + 3, sentence)
    height = y + LINE * half + EDGE + 8
    title = "The rooms of the service, their modules, and which may import which"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img">\n'
        f"<!-- Made by scripts/architecture.py from pyproject.toml: make architecture -->\n"
        f"<title>{title}</title>\n<style>{STYLE}</style>\n"
    )
    drawing.parts.insert(0, f'<rect class="back" width="{WIDTH}" height="{height:g}"/>')
    return head + "\n".join(drawing.parts) + "\n</svg>\n"


def main() -> None:
    """Draw to the file that the command line names."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "architecture.svg"
    out.write_text(draw(*read(ROOT / "pyproject.toml")))


if __name__ == "__main__":
    main()
