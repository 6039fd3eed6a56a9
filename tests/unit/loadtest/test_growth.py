"""One thing grows at a time, and every point is on the table and in the picture."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any, cast
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from loadtest.bench.growth import AXES, HEADS, Axis, Point, cells, markdown, measure, write
from loadtest.bench.plots import HEIGHT, WIDTH, Series, gallery, plot
from loadtest.bench.steady import Row

if TYPE_CHECKING:
    from pathlib import Path

    from loadtest.bench.run import Bench
    from loadtest.bench.shapes import Shape

GROWS = {
    "clients": "clients",
    "rate": "rate",
    "channels": "channels",
    "layouts": "layouts",
    "lossless layouts": "layouts",
    "screens": "clients",
}
SVG = "{http://www.w3.org/2000/svg}"


def row(**more: Any) -> Row:
    values: dict[str, Any] = {
        "shape": "rate", "server": "tickfan WebSocket", "title": "", "clients": 200,
        "out_per_s": 10_000.0, "writes_s": 5000.0, "cpu_us": 4.0, "core": 0.04, "p99_ms": 15.0,
        "rss_mb": 70.0, "checked": "ok", "extra": {"audiences": 1}, **more,
    }  # fmt: skip
    return Row(**values)


class Known:
    """A bench whose results are known: ``checked`` of all its rows."""

    def __init__(self, checked: str) -> None:
        self.checked = checked
        self.shapes: list[Shape] = []

    def shape(self, shape: Shape) -> list[Row]:
        self.shapes.append(shape)
        if self.checked == "broken":
            raise RuntimeError("the service has ended")
        return [row(shape=shape.name, checked=self.checked)]


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.name)
def test_on_an_axis_one_thing_grows(axis: Axis) -> None:
    """All else is the same at each of its values."""
    shapes = [axis.shape(value) for value in axis.values]
    varied = {
        field.name
        for field in fields(shapes[0])
        if field.name != "title"
        and any(getattr(shape, field.name) != getattr(shapes[0], field.name) for shape in shapes)
    }

    assert varied == {GROWS[axis.name]}
    assert list(axis.values) == sorted(axis.values)
    assert all(shape.name == axis.name and shape.decode for shape in shapes)


def test_each_value_is_a_line_with_a_cell_for_each_head() -> None:
    """Also one of which little is known; what is fixed stands above, of these axes only."""
    assert len(cells(Point("rate", 50, row()))) == len(HEADS)
    assert len(cells(Point("rate", 50, row(writes_s=0, cpu_us=None, extra={})))) == len(HEADS)

    fixed, table = markdown([Point("rate", 50, row()), Point("rate", 200, row())]).split("\n\n")
    assert fixed.startswith("- **rate**: ")
    assert len(fixed.splitlines()) == 1
    assert len(table.splitlines()) == 4
    assert "| rate | 50 | 1 | 10,000 | 2.0 | 4.00 | 8.0 | 0.04 |" in table


def test_a_rate_that_was_not_held_is_said() -> None:
    """All came in the end, but later and later: cost and age are not those of that rate."""
    held = row(backlog=(1000, 2000))
    behind = row(backlog=(1000, 4000), checked="ok")
    assert cells(Point("rate", 50, held))[-1] == "ok"
    assert cells(Point("rate", 50, behind))[-1] == "ok, fell behind"


def test_everything_is_written(tmp_path: Path) -> None:
    """The points as JSON, a section for the document, and one picture with a plot an axis."""
    points = [Point("rate", 50, row()), Point("rate", 200, row()), Point("clients", 9, row())]
    write(tmp_path, points, {"cpu": "x"})

    found = json.loads((tmp_path / "growth.json").read_text())
    assert found["about"] == {"cpu": "x"}
    assert [(point["axis"], point["value"]) for point in found["points"]] == [
        ("rate", 50), ("rate", 200), ("clients", 9),
    ]  # fmt: skip
    assert (tmp_path / "growth.md").read_text() == markdown(points)
    plots = ET.fromstring((tmp_path / "growth.svg").read_text()).findall(f"{SVG}svg/{SVG}svg")
    assert len(plots) == 2
    assert len(plots[1].findall(f"{SVG}circle")) == 2 * 4, "cost, core, age, memory of two points"


def test_plots_stand_side_by_side_in_rows() -> None:
    """Two in a row, none over another."""
    one = plot("a", "x", "y", [Series("p", [(1, 2)])])
    root = ET.fromstring(gallery([one, one, one]))

    assert root.get("viewBox") == f"0 0 {2 * WIDTH} {2 * HEIGHT}"
    places = [(inner.get("x"), inner.get("y")) for inner in root.findall(f"{SVG}svg")]
    assert places == [("0", "0"), (str(WIDTH), "0"), ("0", str(HEIGHT))]


@pytest.mark.parametrize(("checked", "status"), [("ok", 0), ("lost: 2", 1)])
def test_the_status_says_whether_all_was_as_promised(
    checked: str, status: int, tmp_path: Path
) -> None:
    """Every value of every axis is measured, and the table is shown."""
    bench, console = Known(checked), Console(record=True, width=80, quiet=False)
    assert measure(cast("Bench", bench), tmp_path, {}, console) == status

    assert len(bench.shapes) == sum(len(axis.values) for axis in AXES)
    assert "| what grows | to |" in console.export_text()


def test_what_was_measured_before_a_failure_is_kept(tmp_path: Path) -> None:
    """A later point that breaks does not take the earlier ones along."""
    bench = Known("ok")
    known = bench.shape

    def shape(shape: Shape) -> list[Row]:
        bench.checked = "broken" if len(bench.shapes) == 3 else "ok"
        return known(shape)

    bench.shape = shape  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="has ended"):
        measure(cast("Bench", bench), tmp_path, {}, Console(quiet=True))

    assert len(json.loads((tmp_path / "growth.json").read_text())["points"]) == 3
