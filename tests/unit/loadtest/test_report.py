"""The table says what was measured, and what was not reached."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from loadtest.bench.plots import Series, plot
from loadtest.bench.report import DASH, HEADS, cells, markdown, missed, relate, write
from loadtest.bench.steady import Row

if TYPE_CHECKING:
    from pathlib import Path


def row(**more: Any) -> Row:
    values: dict[str, Any] = {
        "shape": "A",
        "server": "tickfan WebSocket",
        "title": "",
        "out_per_s": 100_000.0,
        "cpu_us": 3.0,
        "p99_ms": 15.0,
        "checked": "ok",
        "ages": [(10, 99), (150, 1)],
        **more,
    }
    return Row(**values)


def test_a_row_has_a_cell_for_each_head() -> None:
    """Also one of which little is known."""
    assert len(cells(row())) == len(HEADS)
    assert cells(row(cpu_us=None))[3] == DASH


def test_costs_are_related_to_the_peer_on_the_same_wire() -> None:
    """nchan's WebSocket to ours, its SSE to our SSE."""
    ours, theirs = row(), row(server="nchan WebSocket", cpu_us=6.0)
    sse = row(server="tickfan SSE", cpu_us=4.0)
    relate([ours, theirs, sse, row(server="nchan SSE", cpu_us=5.0)])

    assert ours.of_nchan == 0.5
    assert sse.of_nchan == 0.8
    assert theirs.of_nchan is None


def test_a_peer_that_lost_something_does_not_count() -> None:
    """It conflates what it cannot hold: cheaper, and not what was asked of it."""
    ours = row(shape="B", cpu_us=1.25)
    weak = row(shape="B", server="nchan WebSocket", cpu_us=2.0, checked="lost: 5")
    relate([ours, weak, row(server="nchan WebSocket", cpu_us=5.0)])

    assert ours.of_nchan == 0.25


def test_a_peer_that_fell_behind_does_not_count() -> None:
    """Nothing lost in the end is not the rate held: a second's worth may wait, not more."""
    ours = row(shape="B", cpu_us=1.25)
    load: dict[str, Any] = {"shape": "B", "in_per_s": 200.0, "clients": 500}
    late = row(server="nchan WebSocket", cpu_us=2.0, backlog=(1_000, 101_001), **load)
    held = row(server="nchan WebSocket", cpu_us=5.0)
    relate([ours, late, held])
    assert ours.of_nchan == 0.25

    late.backlog = (1_000, 101_000)
    relate([ours, late, held])
    assert ours.of_nchan == 0.625


def test_what_was_missed_is_said_with_both_figures() -> None:
    """A sentence for each reach that was not met, and for each broken promise."""
    found = missed([row(p99_ms=33.0, checked="lost: 2")])

    assert found == ["A: age p99, ms: 33.00, wanted at most 20", "A: lost: 2"]
    assert missed([row(of_nchan=0.6)]) == []


def test_the_document_has_a_line_for_each_row() -> None:
    """And two for the head."""
    assert len(markdown([row(), row()]).splitlines()) == 4


def test_everything_is_written(tmp_path: Path) -> None:
    """The figures as JSON, the table, and two plots."""
    write(tmp_path, [row()], {"G": {"messages_per_s": 1}}, {"cpu": "x"})

    result = json.loads((tmp_path / "result.json").read_text())
    assert result["rows"][0]["cpu_us"] == 3.0
    assert result["special"]["G"] == {"messages_per_s": 1}
    assert {path.name for path in tmp_path.iterdir()} == {
        "result.json",
        "result.md",
        "cost.svg",
        "age.svg",
    }


def test_a_plot_is_well_formed_and_draws_each_point() -> None:
    """Names are escaped; what has no logarithm is left out."""
    text = plot("a < b", "x", "y", [Series("p & q", [(1, 2), (10, 20), (0, 1)])])

    root = ET.fromstring(text)
    circles = root.findall("{http://www.w3.org/2000/svg}circle")
    assert len(circles) == 2
    assert "p & q" in [element.text for element in root.iter()]
