"""The document says what the figures in it amount to, and takes new ones."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest

from loadtest.bench.capacity import Workload
from loadtest.bench.sizing import (
    arguments,
    blocks,
    figures_in,
    measured,
    of_growth,
    of_special,
    sizes,
    updated,
)

ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs" / "scaling.md").read_text()


def point(axis: str, **more: Any) -> dict[str, Any]:
    return {
        "axis": axis, "value": 1, "checked": "ok", "clients": 1000, "core": 0.2,
        "writes_s": 10_000.0, "out_per_s": 10_000.0,
        "kb_s_client": 1.0, "bytes_write": 190.0, "rss_mb": 120.0, "extra": {"start_mb": 60.0},
        **more,
    }  # fmt: skip


POINTS = [
    point("clients", core=0.9),
    point("clients", core=0.08),
    point("layouts", core=0.3, out_per_s=410_000.0, kb_s_client=41.0),
    point("lossless layouts"),
    point("screens", clients=4000),
]
G = {
    "queue, 20 updates a message": {"parts": {"broker": 0.2}, "messages_per_s": 10_000},
    "stream at start, 1 update a message": {"cpu_us_a_message": 40.0},
    "stream at start, 20 updates a message": {
        "cpu_us_a_message": 135.0, "parts": {"broker": 0.1}, "messages_per_s": 10_000,
    },
}  # fmt: skip
SPECIAL = {"E": {"connects_per_s_of_server_cpu": 4000}, "G": G}


@pytest.mark.parametrize("name", ["figures", "workload", "sizes", "ends"])
def test_the_document_says_what_its_figures_amount_to(name: str) -> None:
    """If not: `.venv/bin/python -m loadtest.bench.sizing --update` writes it anew."""
    [found] = re.findall(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", DOCUMENT, re.DOTALL)
    assert found == blocks(figures_in(DOCUMENT), Workload())[name]


def test_the_command_prints_the_table_of_the_document() -> None:
    """And another one for another workload."""
    command = [sys.executable, "-m", "loadtest.bench.sizing"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout in DOCUMENT
    other = [*command, "--screens", "35000", "--team", "12"]
    said = subprocess.run(other, cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout == sizes(figures_in(DOCUMENT), Workload(team=12), [35_000])


def test_a_workload_that_no_replica_can_read_is_a_sentence() -> None:
    """Status 2, and what to do."""
    command = [sys.executable, "-m", "loadtest.bench.sizing", "--quotes-per-s", "10000000"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 2
    assert "more updates in a message" in said.stderr
    assert "Traceback" not in said.stderr


def test_each_part_of_the_workload_is_an_option() -> None:
    """By the name that the document gives it."""
    for assumed in fields(Workload):
        option = "--" + assumed.name.replace("_", "-")
        assert f"| `{option}` |" in DOCUMENT
        assert getattr(arguments([option, "7"]), assumed.name) == 7


def test_growth_gives_the_figures_of_its_last_points() -> None:
    """By hand: 8 us shared, 20 us alone, 40 updates more cost 10 us more."""
    found = of_growth(POINTS)

    assert found["write_us"] == pytest.approx(8)
    assert found["own_us"] == pytest.approx(20)
    assert found["update_us"] == pytest.approx(10 / 40)
    assert found["update_bytes"] == pytest.approx(100)
    assert found["screen_kib"] == pytest.approx(60 * 1024 / 4000)
    assert (found["start_mib"], found["screens_core"]) == (60, 0.2)


def test_a_point_that_was_not_as_promised_gives_no_figures() -> None:
    """What loses updates is cheap."""
    with pytest.raises(ValueError, match="growth at layouts 1: lost: 3: measure it again"):
        of_growth([*POINTS, point("layouts", checked="lost: 3")])


def test_noise_makes_no_negative_cost() -> None:
    """Two points that were measured at different times may contradict each other."""
    noisy = [*POINTS, point("layouts", core=0.1, out_per_s=410_000.0)]
    assert of_growth(noisy)["update_us"] == 0


def test_the_other_shapes_give_theirs() -> None:
    """By hand: 19 updates more cost 95 us more; the worse of queue and stream counts."""
    assert of_special(SPECIAL) == pytest.approx(
        {"connect_us": 250, "ingest_us": 5, "message_us": 35, "broker_us": 20}
    )
    assert of_special({}) == {}


def test_what_was_not_measured_anew_is_kept_and_said(tmp_path: Path) -> None:
    """A result without E and G leaves their figures; new ones have three digits."""
    old = figures_in(DOCUMENT)
    (tmp_path / "growth.json").write_text(json.dumps({"points": POINTS}))
    (tmp_path / "result.json").write_text(json.dumps({"special": {"G": G}}))
    new, kept = measured(tmp_path, old)

    assert kept == ["connect_us"]
    assert new.connect_us == old.connect_us
    assert new.ingest_us == 5
    assert new.screen_kib == 15.4
    assert measured(tmp_path / "none", old) == (old, list(asdict(old)))


def test_new_figures_come_back_out_of_the_document() -> None:
    """Written, read, written again: the same."""
    new = replace(figures_in(DOCUMENT), own_us=17.3)
    text = updated(DOCUMENT, blocks(new, Workload()))

    assert figures_in(text) == new
    assert updated(text, blocks(new, Workload())) == text
    assert updated(text, blocks(figures_in(DOCUMENT), Workload())) == DOCUMENT


def test_one_command_writes_all_documents_anew(tmp_path: Path) -> None:
    """Figures and tables here, growth's table and picture among the benchmarks."""
    docs, results = tmp_path / "docs", tmp_path / "results"
    docs.mkdir()
    results.mkdir()
    (docs / "scaling.md").write_text(DOCUMENT)
    (docs / "benchmarks.md").write_text((ROOT / "docs" / "benchmarks.md").read_text())
    (results / "growth.json").write_text(json.dumps({"points": POINTS}))
    (results / "growth.md").write_text("the new table\n")
    (results / "growth.svg").write_text("the new picture")
    said = subprocess.run(
        [sys.executable, "-m", "loadtest.bench.sizing", "--update", "--results", str(results)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip

    text = (docs / "scaling.md").read_text()
    assert figures_in(text).own_us == 20
    assert said.stdout in text
    assert "kept: message_us, ingest_us, broker_us, connect_us" in said.stderr
    benchmarks = (docs / "benchmarks.md").read_text()
    assert "<!-- growth -->\nthe new table\n<!-- /growth -->" in benchmarks
    assert (docs / "growth.svg").read_text() == "the new picture"


def test_a_document_without_its_marks_or_figures_is_named() -> None:
    """Nothing is written in the wrong place."""
    with pytest.raises(ValueError, match="no place for sizes"):
        updated(DOCUMENT.replace("<!-- /sizes -->", ""), blocks(figures_in(DOCUMENT), Workload()))
    with pytest.raises(ValueError, match="no figure own_us"):
        figures_in(DOCUMENT.replace("`own_us`", "own"))
