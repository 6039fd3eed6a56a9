"""The report of `--vs` has a line for each ratio, and says what was not as promised."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from loadtest.bench.turnreport import HEADS, cells, is_held, tables, write, wrong
from loadtest.bench.turns import Series, ratios

if TYPE_CHECKING:
    from pathlib import Path

COST = "CPU us an update"


def series(**checked: str) -> Series:
    """Three rounds against one build, with a cost and an age."""
    rounds = [
        {"this": {COST: mine, "age p99 ms": 9.0}, "0.1.0": {COST: 2.0, "age p99 ms": 18.0}}
        for mine in (2.0, 2.2, 1.8)
    ]
    return Series("A WebSocket", "this", rounds, {"this": "ok", "0.1.0": "ok", **checked})


def test_a_line_has_both_figures_the_ratio_and_its_spread() -> None:
    """In the order of the heads."""
    found = series()
    line = cells(found, ratios(found)[0])

    assert len(line) == len(HEADS)
    assert line == (
        "A WebSocket", COST, "2.00", "0.1.0", "2.00", "1.000", "0.950 to 1.050", "0.90 to 1.10",
        "3",
    )  # fmt: skip


def test_costs_stand_before_all_else() -> None:
    """In a table of their own."""
    cost, rest = tables([series(), series()]).split("\n\n")

    assert cost.count(COST) == 2
    assert "age" not in cost
    assert rest.count("age p99 ms | 9.00 | 0.1.0 | 18.00 | 0.500") == 2


def test_what_was_wrong_is_said_of_everybody_and_ours_alone_fails_the_bench() -> None:
    """Also if ours was never checked."""
    theirs, ours = series(**{"0.1.0": "lost: 2"}), series(this="failed: gone")

    lost, gone = "A WebSocket: 0.1.0: lost: 2", "A WebSocket: this: failed: gone"
    assert wrong([theirs, ours]) == [lost, gone]
    assert f"- {lost}\n" in tables([theirs])
    assert is_held([theirs])
    assert not is_held([theirs, ours])
    assert not is_held([Series("A", "this")])


def test_the_file_has_every_turn(tmp_path: Path) -> None:
    """So that another spread can be had of the same run."""
    write(tmp_path / "new", [series()], {"python": "3.11"})
    found = json.loads((tmp_path / "new" / "versus.json").read_text())

    [only] = found["series"]
    assert found["about"] == {"python": "3.11"}
    assert [taken["this"][COST] for taken in only["turns"]] == [2.0, 2.2, 1.8]
    assert [ratio["median"] for ratio in only["ratios"]] == [1.0, 0.5]
    assert (tmp_path / "new" / "versus.md").read_text() == tables([series()])
