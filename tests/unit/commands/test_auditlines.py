"""tickfan.commands.auditlines"""

from __future__ import annotations

import gzip
import io
import json
from typing import TYPE_CHECKING, Any

from tickfan.commands.auditlines import LINE_BYTES_MAX, AuditLines

if TYPE_CHECKING:
    from pathlib import Path


def line(second: float, connection: str = "a-1", **fields: Any) -> str:
    time = f"2026-11-01T00:00:{second:09.6f}Z"
    said = {"time": time, "logger": "tickfan.audit", "event": "x", "connection": connection}
    return json.dumps({**said, **fields}) + "\n"


def order(*paths: Path | str) -> tuple[list[str], AuditLines]:
    with AuditLines([str(path) for path in paths], io.BytesIO()) as lines:
        return [said["connection"] for _, said in lines.in_order()], lines


def test_files_are_read_in_the_order_of_time(tmp_path: Path) -> None:
    """Those of several replicas, rotated ones and packed ones, whatever order they are named."""
    one, two, packed = (tmp_path / name for name in ("one", "two", "packed"))
    one.write_text(line(3, "c-1") + line(7, "g-1"))
    two.write_text(line(2, "b-1") + line(5, "e-1"))
    packed.write_bytes(gzip.compress((line(1, "a-1") + line(9, "i-1")).encode()))
    found, lines = order(one, packed, two)
    assert found == ["a-1", "b-1", "c-1", "e-1", "g-1", "i-1"]
    assert (lines.malformed, lines.late) == (0, 0)


def test_stdin_is_a_file_like_the_others(tmp_path: Path) -> None:
    """It is read twice, packed or not."""
    path = tmp_path / "one"
    path.write_text(line(2, "b-7"))
    for given in (line(1, "a-1").encode(), gzip.compress(line(1, "a-1").encode())):
        with AuditLines(["-", str(path)], io.BytesIO(given)) as lines:
            alive = lines.alive_until()
            assert alive.keys() == {"a", "b"}
            assert alive["b"] - alive["a"] == 1
            assert [said["connection"] for _, said in lines.in_order()] == ["a-1", "b-7"]


def test_other_lines_are_passed_over_and_malformed_ones_counted(tmp_path: Path) -> None:
    """Those of the log, of what collects it, and of what was torn."""
    path = tmp_path / "one"
    other = json.dumps({"logger": "tickfan", "event": "serving"}) + "\n"
    path.write_bytes(
        (
            other + "\n" + f"tickfan-1  | {line(1)}" + line(2)[:-20] + "\n" + "no JSON\n" + "[1]\n"
            + line(3).replace("2026", "never") + line(3).replace('"time"', '"tame"')
        ).encode()
        + b"\xff\xfe\n" + b"{" * LINE_BYTES_MAX + (line(4, "w-1") + line(4, "z-1")).encode()
    )  # fmt: skip
    found, lines = order(path)
    assert found == ["a-1", "z-1"]
    assert lines.malformed == 6


def test_lines_of_the_past_are_told(tmp_path: Path) -> None:
    """Two logs, one behind the other in one file; a clock that goes back a little is nothing."""
    path = tmp_path / "one"
    path.write_text(line(10) + line(9.5) + line(30) + line(12) + line(31))
    _, lines = order(path)
    assert lines.late == 1


def test_each_process_lives_until_its_last_line(tmp_path: Path) -> None:
    """A line about it counts as one of its connections'."""
    path = tmp_path / "one"
    alive = line(50, "").replace('"connection": ""', '"epoch": "a", "connections": 1')
    path.write_text(line(1, "a-1") + line(20, "b-1") + alive + line(2, "a-2"))
    with AuditLines([str(path)], io.BytesIO()) as lines:
        found = lines.alive_until()
    assert found["a"] - found["b"] == 30
