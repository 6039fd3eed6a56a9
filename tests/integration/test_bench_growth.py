"""A point of the growth axes, in small, through RabbitMQ and the service."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from loadtest.bench.growth import AXES
from loadtest.bench.machine import Cores
from loadtest.bench.run import Bench
from loadtest.bench.steady import Span

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.rabbitmq import RabbitNode

CLIENTS, LAYOUTS = 20, 4


@pytest.fixture
def bench(own_rabbitmq: RabbitNode, tmp_path: Path) -> Iterator[Bench]:
    """A bench of very short runs."""
    cores = os.sched_getaffinity(0)
    own_rabbitmq.start()
    span = Span(0.2, 1)
    try:
        yield Bench(tmp_path, own_rabbitmq, own_rabbitmq.pid, Cores(), span, 1, True, print)
    finally:
        os.sched_setaffinity(0, cores)


@pytest.mark.parametrize("name", ["layouts", "lossless layouts"])
def test_clients_with_few_layouts_are_few_audiences(bench: Bench, name: str) -> None:
    """And each of them gets what was published on its channels: all, or the newest."""
    [axis] = [axis for axis in AXES if axis.name == name]
    shape = replace(axis.shape(1), clients=CLIENTS, layouts=LAYOUTS, decode=2, rate=500)

    [row] = bench.shape(shape)

    assert row.checked == "ok"
    assert row.extra["audiences"] == LAYOUTS
    assert row.extra["decoded"] > 0
    assert row.extra["start_mb"] <= row.rss_mb
    assert row.writes_s > 0
