"""docs/benchmarks.md says what each shape of load is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from loadtest.bench.shapes import NAMES, STEADY, Shape
from loadtest.bench.special import E_CLIENTS, F_HEALTHY, F_SAMPLE, F_STALLED

PAGE = (Path(__file__).parents[3] / "docs" / "benchmarks.md").read_text()
[TABLE] = re.findall(r"<!-- shapes -->\n(.*?)<!-- /shapes -->", PAGE, re.DOTALL)
ROWS = {
    name: [cell.strip() for cell in rest.split("|")[:4]]
    for name, rest in re.findall(r"^\| ([A-Z]\d?) \| (.*) \|$", TABLE, re.MULTILINE)
}
"""By its letter: clients, updates/s in, what a client subscribes to, delivery."""


def test_each_shape_is_in_the_table() -> None:
    """Each letter that ``--shapes`` takes, once."""
    assert sorted(ROWS) == sorted(NAMES)


@pytest.mark.parametrize("shape", STEADY, ids=lambda shape: shape.name)
def test_a_row_is_what_the_bench_runs(shape: Shape) -> None:
    """Clients, rate, channels and policy."""
    channels = f"{len(shape.channels):,} channels"
    wanted = "the one channel" if len(shape.channels) == 1 else f"all of {channels}"
    if shape.each:
        wanted = f"{shape.each} of {channels}, each client others"
    policy = f"conflated, {shape.interval_ms} ms"
    if shape.lossless:
        policy = f"lossless, `flush_ms` {shape.flush_ms}"
    assert ROWS[shape.name] == [f"{shape.clients:,}", f"{shape.rate:,}", wanted, policy]


def test_the_numbers_of_e_and_f_are_those_of_the_bench() -> None:
    """10,000 connections, and 100 stalled beside 1,000."""
    assert ROWS["E"][0] == f"{E_CLIENTS:,}"
    assert ROWS["F"][0] == f"{F_HEALTHY + F_SAMPLE:,} and {F_STALLED}"
